"""Recorded predictions in a table partitioned by the day of the id; the default partition takes strays."""

import django.utils.timezone
from django.db import migrations, models

CREATE = """
CREATE TABLE predictions_prediction (
    id uuid PRIMARY KEY,
    request_id varchar(64) NOT NULL,
    at timestamptz NOT NULL,
    model varchar(250) NOT NULL,
    version varchar(50) NOT NULL,
    user_id bigint NOT NULL,
    username varchar(150) NOT NULL,
    token_id bigint,
    source varchar(8) NOT NULL,
    "row" integer NOT NULL CHECK ("row" >= 0),
    inputs jsonb NOT NULL,
    value jsonb NOT NULL,
    label text NOT NULL,
    probabilities jsonb,
    warnings jsonb NOT NULL,
    is_demo boolean NOT NULL,
    is_answered boolean NOT NULL,
    recorded_at timestamptz NOT NULL,
    actual jsonb,
    actual_by varchar(150) NOT NULL,
    actual_at timestamptz
) PARTITION BY RANGE (id);
CREATE TABLE predictions_prediction_default PARTITION OF predictions_prediction DEFAULT;
CREATE INDEX prediction_by_user ON predictions_prediction (user_id, id DESC);
CREATE INDEX prediction_by_model ON predictions_prediction (model, id DESC);
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, "DROP TABLE predictions_prediction")],
            state_operations=[
                migrations.CreateModel(
                    name="Prediction",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("request_id", models.CharField(max_length=64)),
                        ("at", models.DateTimeField()),
                        ("model", models.CharField(max_length=250)),
                        ("version", models.CharField(max_length=50)),
                        ("user_id", models.BigIntegerField()),
                        ("username", models.CharField(max_length=150)),
                        ("token_id", models.BigIntegerField(null=True)),
                        (
                            "source",
                            models.CharField(choices=[("form", "form"), ("api", "API")], max_length=8),
                        ),
                        ("row", models.PositiveIntegerField()),
                        ("inputs", models.JSONField()),
                        ("value", models.JSONField()),
                        ("label", models.TextField(blank=True)),
                        ("probabilities", models.JSONField(null=True)),
                        ("warnings", models.JSONField(default=list)),
                        ("is_demo", models.BooleanField(default=False)),
                        ("is_answered", models.BooleanField(default=True)),
                        ("recorded_at", models.DateTimeField(default=django.utils.timezone.now)),
                        ("actual", models.JSONField(null=True)),
                        ("actual_by", models.CharField(blank=True, max_length=150)),
                        ("actual_at", models.DateTimeField(null=True)),
                    ],
                    options={"ordering": ["-id"]},
                ),
                migrations.AddIndex(
                    model_name="prediction",
                    index=models.Index(fields=["user_id", "-id"], name="prediction_by_user"),
                ),
                migrations.AddIndex(
                    model_name="prediction",
                    index=models.Index(fields=["model", "-id"], name="prediction_by_model"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="ErasedPrediction",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=250)),
                ("user_id", models.BigIntegerField()),
                ("erased_by", models.CharField(max_length=150)),
                ("erased_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="UnansweredPrediction",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("noted_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
    ]
