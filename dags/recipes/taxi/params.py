"""What the taxi pipelines may be told. Imported while Airflow parses: standard library only."""

BATCH_DAG_ID = "taxi_batch"
TRAINING_DAG_ID = "taxi_training"
USECASE = "taxi"
MODEL = "taxi_tip"
FILE_NAME = "green_tripdata_2024-01.parquet"
SOURCES = ("auto", "file", "synthetic")
GENERATED_ROWS = 20_000
DEFAULTS = {
    "n_estimators": 60,
    "max_depth": 10,
    "max_rows": 30_000,
    "seed": 42,
    "holdout_share": 0.2,
}
