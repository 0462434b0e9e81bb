"""The order in which predictions arrive, and what watching them for drift keeps."""

import django.core.validators
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("predictions", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL("CREATE SEQUENCE predictions_arrival", "DROP SEQUENCE predictions_arrival"),
        migrations.CreateModel(
            name="DriftRules",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=250, unique=True)),
                (
                    "is_watched",
                    models.BooleanField(
                        default=True, help_text="Off: no windows, no alerts.", verbose_name="Watch this model"
                    ),
                ),
                (
                    "window_size",
                    models.PositiveIntegerField(
                        default=500,
                        help_text="So many predictions are compared with the reference at once.",
                        validators=[
                            django.core.validators.MinValueValidator(50),
                            django.core.validators.MaxValueValidator(20000),
                        ],
                        verbose_name="Window",
                    ),
                ),
                (
                    "window_hours",
                    models.PositiveIntegerField(
                        default=24,
                        help_text="The window is closed by then if it holds the least number.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(720),
                        ],
                        verbose_name="At the latest after",
                    ),
                ),
                (
                    "min_n",
                    models.PositiveIntegerField(
                        default=100,
                        help_text="Fewer predictions get no verdict.",
                        validators=[
                            django.core.validators.MinValueValidator(30),
                            django.core.validators.MaxValueValidator(20000),
                        ],
                        verbose_name="Least number",
                    ),
                ),
                (
                    "alpha",
                    models.FloatField(
                        default=0.01,
                        help_text="A corrected p-value above this is chance.",
                        validators=[
                            django.core.validators.MinValueValidator(1e-06),
                            django.core.validators.MaxValueValidator(0.2),
                        ],
                        verbose_name="Significance",
                    ),
                ),
                (
                    "wasserstein",
                    models.FloatField(
                        default=0.1,
                        help_text="Normalised Wasserstein distance from which on it counts.",
                        validators=[
                            django.core.validators.MinValueValidator(0.01),
                            django.core.validators.MaxValueValidator(10),
                        ],
                        verbose_name="Shift of a number",
                    ),
                ),
                (
                    "psi",
                    models.FloatField(
                        default=0.1,
                        help_text="Stability index (PSI) from which on it counts; of numbers with few values too.",
                        validators=[
                            django.core.validators.MinValueValidator(0.01),
                            django.core.validators.MaxValueValidator(10),
                        ],
                        verbose_name="Shift of a category",
                    ),
                ),
                (
                    "score_psi",
                    models.FloatField(
                        default=0.2,
                        help_text="Stability index (PSI) from which on it counts.",
                        validators=[
                            django.core.validators.MinValueValidator(0.01),
                            django.core.validators.MaxValueValidator(10),
                        ],
                        verbose_name="Shift of the score",
                    ),
                ),
                (
                    "share",
                    models.FloatField(
                        default=0.1,
                        help_text="Of missing, unseen or out-of-range values, from 0 to 1.",
                        validators=[
                            django.core.validators.MinValueValidator(0.01),
                            django.core.validators.MaxValueValidator(1),
                        ],
                        verbose_name="Change of a share",
                    ),
                ),
                ("changed_at", models.DateTimeField(blank=True, null=True)),
                ("changed_by", models.CharField(blank=True, max_length=150)),
            ],
        ),
        migrations.CreateModel(
            name="DriftWatch",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=250)),
                ("version", models.CharField(max_length=50)),
                ("is_demo", models.BooleanField(default=False)),
                ("bookmark", models.BigIntegerField(default=0)),
                ("reference_sha256", models.CharField(blank=True, max_length=64)),
                ("summary", models.JSONField(null=True)),
                ("error", models.TextField(blank=True)),
                ("next_attempt_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="DriftWindow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("model", models.CharField(max_length=250)),
                ("version", models.CharField(max_length=50)),
                ("is_demo", models.BooleanField(default=False)),
                ("after", models.BigIntegerField()),
                ("upto", models.BigIntegerField()),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                ("n", models.PositiveIntegerField()),
                ("n_reference", models.PositiveIntegerField()),
                (
                    "verdict",
                    models.CharField(
                        choices=[("drifted", "drifted"), ("stable", "stable"), ("not_enough", "not enough")],
                        max_length=10,
                    ),
                ),
                ("columns", models.JSONField()),
                ("limits", models.JSONField()),
                ("judged_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddField(
            model_name="prediction",
            name="arrival",
            field=models.BigIntegerField(
                db_default=models.Func(models.Value("predictions_arrival"), function="nextval")
            ),
        ),
        migrations.AddIndex(
            model_name="prediction",
            index=models.Index(
                fields=["model", "version", "is_demo", "arrival"], name="prediction_by_arrival"
            ),
        ),
        migrations.AddConstraint(
            model_name="driftrules",
            constraint=models.CheckConstraint(
                condition=models.Q(("min_n__lte", models.F("window_size"))), name="drift_min_n_fits_window"
            ),
        ),
        migrations.AddConstraint(
            model_name="driftwatch",
            constraint=models.UniqueConstraint(
                fields=("model", "version", "is_demo"), name="one_drift_watch"
            ),
        ),
        migrations.AddIndex(
            model_name="driftwindow",
            index=models.Index(fields=["model", "-id"], name="drift_window_by_model"),
        ),
        migrations.AddConstraint(
            model_name="driftwindow",
            constraint=models.UniqueConstraint(
                fields=("model", "version", "is_demo", "after"), name="one_drift_window_after"
            ),
        ),
        migrations.AddConstraint(
            model_name="driftwindow",
            constraint=models.CheckConstraint(
                condition=models.Q(("upto__gt", models.F("after"))), name="drift_window_holds_something"
            ),
        ),
    ]
