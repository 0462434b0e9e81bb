"""The use cases: what each has collected, decided and measured, and where its parts are found."""
