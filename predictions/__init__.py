"""Predictions, from the call to drift.

`serving` answers, and hands a record of each answer to Kafka (`serving.record_writer`). `recorder` is the
loop that fetches them again, `ingestion` makes rows of them, and `unfit` keeps those that are no record.
`spec_form` is the form to predict with, `forms` holds the filters of lists. `drift` compares what was
recorded with the data that the model learnt from.
"""
