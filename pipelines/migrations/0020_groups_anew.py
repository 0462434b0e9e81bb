"""Which groups tasks are in is asked of Airflow once more: names did not tell of all."""

from django.db import migrations


def forget_groups(apps, _schema_editor):
    pipelines = apps.get_model("pipelines", "Pipeline")
    for pipeline in pipelines.objects.iterator(chunk_size=100):
        if any(task.get("groups") is not None for task in pipeline.tasks):
            tasks = [{**task, "groups": None} for task in pipeline.tasks]
            pipelines.objects.filter(pk=pipeline.pk).update(tasks=tasks)


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0019_map_names")]

    # Back again nothing has to change: a release before asks anew as well.
    operations = [migrations.RunPython(forget_groups, migrations.RunPython.noop)]
