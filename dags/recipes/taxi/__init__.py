"""New York taxi trips: cleaned and grouped by Spark, and a model of what is tipped."""
