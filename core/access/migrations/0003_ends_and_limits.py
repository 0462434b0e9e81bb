"""Rounds of sessions, parents of tokens, failed sign-ins; the tables of the library that counted them before go.

Sessions and tokens that are there go on: a round of 0 leaves a session's hash as it was, and a token without
a parent ends by its own row alone.
"""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

# They held names as they were typed, passwords among them. Forgetting that its migrations ran lets an older
# release make the tables again.
DROP_OLD_COUNTS = """
DROP TABLE IF EXISTS axes_accessattemptexpiration, axes_accessattempt, axes_accessfailurelog, axes_accesslog;
DELETE FROM django_migrations WHERE app = 'axes';
"""


class Migration(migrations.Migration):
    dependencies = [("access", "0002_roles")]

    operations = [
        migrations.AddField("user", "session_round", models.PositiveIntegerField(default=0)),
        migrations.AddField(
            "apitoken",
            "parent",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="children",
                to="access.apitoken",
            ),
        ),
        migrations.CreateModel(
            name="FailedSignIn",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name_key", models.CharField(max_length=64)),
                ("place", models.CharField(max_length=64)),
                ("n_failures", models.PositiveIntegerField(default=1)),
                ("last_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["place", "last_at"], name="failed_by_place")],
                "constraints": [
                    models.UniqueConstraint(fields=("name_key", "place"), name="one_count_a_name_and_place")
                ],
            },
        ),
        migrations.RunSQL(DROP_OLD_COUNTS, migrations.RunSQL.noop),
    ]
