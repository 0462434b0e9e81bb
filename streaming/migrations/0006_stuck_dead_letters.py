"""Dead letters that older versions left behind: asked for and never sent again, or too large to be sent."""

from django.db import migrations
from django.utils import timezone

KEPT_BYTES = 1000 * 1024
KEPT_KEY_BYTES = 16 * 1024

CUT = """
UPDATE streaming_deadletter
SET is_cut = true, payload = substring(payload FROM 1 FOR %s), key = substring(key FROM 1 FOR %s)
WHERE NOT is_sent AND (octet_length(payload) > %s OR octet_length(key) > %s)
"""


def mend(apps, schema_editor):
    letters = apps.get_model("streaming", "DeadLetter").objects
    letters.filter(redrive_asked_at__isnull=False, redriven_at=None).update(next_attempt_at=timezone.now())
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(CUT, [KEPT_BYTES, KEPT_KEY_BYTES, KEPT_BYTES, KEPT_KEY_BYTES])


class Migration(migrations.Migration):
    dependencies = [("streaming", "0005_redrive_as_a_wish")]

    operations = [migrations.RunPython(mend, migrations.RunPython.noop)]
