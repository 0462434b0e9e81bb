"""What grows on this piece of forest? From batches of an HTTP service to a registered model."""
