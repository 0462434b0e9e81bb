"""What every recipe needs: its run folder, its data, MLflow, the console."""
