"""What a model is when it answers: spec, check, features, score, explain. No Django in here."""
