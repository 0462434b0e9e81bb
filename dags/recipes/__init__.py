"""The code that pipelines run, one package per use case. Nothing here imports Airflow."""
