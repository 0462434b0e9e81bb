"""Readmission of diabetics: hospital stays, and whether the patient came back."""
