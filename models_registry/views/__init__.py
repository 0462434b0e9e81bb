"""Pages and fragments of the registry."""
