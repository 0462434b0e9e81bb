"""The worker's half of files of rows: a slice of one, and what nobody needs any more."""

from celery import shared_task

from predictions.batches import clearing


@shared_task
def run_batch(batch_id: str) -> None:
    """Some seconds of a file of rows. When a worker dies on the way its lease ends and another goes on."""
    from predictions.batches import running  # numpy and onnxruntime: only the process that scores needs them

    following = running.work(batch_id)
    if following is not None:
        run_batch.delay(str(following))


@shared_task
def clear_old() -> None:
    """Files of rows that ended long ago go, with results and rows; and what nobody knows any more."""
    clearing.clear_old()
