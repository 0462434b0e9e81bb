"""The embedded stack: real servers on one machine, one small module each, under one supervisor."""
