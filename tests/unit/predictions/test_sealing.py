"""What Kafka holds of a prediction shows neither who asked nor what."""

import orjson
import pytest

from core.lib.ids import uuid7
from predictions import actions, ingestion
from predictions.models import Prediction
from predictions.sealing import Sealer, Unsealable, sealer
from streaming import defaults, definition
from streaming.decoding import EventDecoder
from tests.champions import ROW
from tests.people import make_user
from tests.unit.predictions.test_ingestion import handle, message


def test_what_is_sealed_opens_for_its_own_id_alone():
    own, id_ = Sealer(["a secret"]), uuid7()
    sealed = own.seal(id_, b"ana")
    assert own.open(id_, sealed) == b"ana"
    with pytest.raises(Unsealable):
        own.open(uuid7(), sealed)


def test_a_secret_that_was_replaced_still_opens():
    id_ = uuid7()
    sealed = Sealer(["old"]).seal(id_, b"ana")
    assert Sealer(["new", "old"]).open(id_, sealed) == b"ana"
    with pytest.raises(Unsealable):
        Sealer(["new"]).open(id_, sealed)


def test_the_first_of_the_settings_seals_and_each_opens(settings):
    id_ = uuid7()
    settings.CONSOLE_RECORD_SECRETS = "the old one"
    sealed = sealer().seal(id_, b"ana")
    settings.CONSOLE_RECORD_SECRETS = "the new one,the old one"
    assert sealer().open(id_, sealed) == b"ana"
    assert Sealer(["the new one"]).open(id_, sealer().seal(id_, b"ben")) == b"ben"


@pytest.mark.parametrize("sealed", ["", "?", "AAAA", "A" * 400])
def test_what_was_never_sealed_does_not_open(sealed):
    with pytest.raises(Unsealable):
        Sealer(["a secret"]).open(uuid7(), sealed)


def test_a_message_shows_the_answer_and_neither_user_nor_inputs(call, broker):
    status, answer, _headers = call({"rows": [{**ROW, "Fare": 123456.75}]}, x_request_id="about-a-person")
    assert status == 200
    assert answer["predictions"][0]["warnings"]  # it quotes the fare
    (content,) = broker.messages
    shown = orjson.loads(content)
    assert shown.keys() == {
        *("id", "at", "model", "version", "source", "is_demo", "value", "label", "probabilities", "row"),
        "sealed",
    }
    for text in (b"ana", b"Fare", b"123456", b"about-a-person", b"male"):
        assert text not in content
    record = broker.records[0]
    assert (record["username"], record["inputs"]["Fare"]) == ("ana", 123456.75)
    assert record["request_id"] == "about-a-person"


def test_the_stream_of_predictions_still_reads_its_fields(call, broker):
    call({"rows": [ROW]})
    event = EventDecoder(definition.parse(defaults.PREDICTIONS)).checked(broker.messages[0])
    assert "titanic" in str(event)


@pytest.mark.django_db
def test_a_record_of_an_earlier_release_is_recorded_as_it_is():
    from tests.unit.predictions.test_ingestion import plain

    id_ = uuid7()
    assert handle([orjson.dumps(plain(id_))]).n_rows == 1
    assert Prediction.objects.get(pk=id_).inputs["Sex"] == "male"


@pytest.mark.django_db
def test_nothing_of_an_erased_prediction_comes_back_from_the_start_of_the_topic():
    ana, id_, other = make_user("ana", "predictor"), uuid7(), uuid7()
    topic = {
        "predictions/0/0": message(id_, user_id=ana.pk, inputs={"Sex": "female"}),
        "predictions/0/1": message(other, user_id=ana.pk),
    }
    ingestion.handle(topic)
    actions.erase_prediction(id_, by=ana)
    assert ingestion.handle(topic).n_rows == 0
    assert [row.pk for row in Prediction.objects.all()] == [other]
    assert b"female" not in topic["predictions/0/0"]


def test_ids_that_a_process_makes_seal_with_different_nonces():
    assert len({uuid7().bytes[4:] for _ in range(10_000)}) == 10_000
