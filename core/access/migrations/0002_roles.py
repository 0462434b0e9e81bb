"""One group for each role; what a role may do is in `core.access.policy`."""

from django.db import migrations

ROLES = ("viewer", "predictor", "engineer", "scientist", "approver", "admin")


def add_roles(apps, schema_editor):
    group = apps.get_model("auth", "Group")
    for role in ROLES:
        group.objects.get_or_create(name=role)


def remove_roles(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):
    dependencies = [("access", "0001_initial"), ("auth", "0012_alter_user_first_name_max_length")]

    operations = [migrations.RunPython(add_roles, remove_roles)]
