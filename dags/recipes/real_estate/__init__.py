"""What is this house worth? Each batch of listings is judged when it comes."""
