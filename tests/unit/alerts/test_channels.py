"""Channels: made, changed and removed by who may change alert rules; the secret shown once; others look."""

import pytest
from django.urls import reverse

from core.access.policy import Denied
from core.alerts import channels, sealing
from core.alerts.models import Channel, Delivery
from core.audit.models import AuditEntry
from core.lib import redis
from core.lib.errors import Conflict, InvalidRequest
from tests.people import make_admin, make_user, signed_in
from tests.unit.alerts.conftest import UNWRITABLE, opened

pytestmark = pytest.mark.django_db
LIST, REST = "/monitoring/notifications", "/api/v1/channels"
URL = "https://hooks.example/services/geheim?token=geheim"
FORM = {"name": "pager", "url": URL, "severity": "warning", "subjects": "",
        "rules": "drift\n\npipeline-*\ndrift", "most_per_minute": "10"}  # fmt: skip


@pytest.fixture
def root(db):
    return make_admin()


@pytest.fixture
def admin(root):
    return signed_in(root)


@pytest.fixture
def hook(root):
    return channels.create("webhook", name="pager", url=URL, by=root)[0]


def post(client, address: str, body: dict, method: str = "post"):
    return getattr(client, method)(address, body, content_type="application/json")


# --- pages


def test_a_channel_is_made_and_its_secret_shown_once(admin):
    answer = admin.post(f"{LIST}/new?kind=webhook", FORM)
    assert answer.status_code == 201
    channel = Channel.objects.get()
    secret = sealing.opened(channel.sealed_secret, channel.pk)
    assert secret.startswith("awh_")
    assert secret in answer.content.decode()
    assert channel.rules == ["drift", "pipeline-*"]
    for address in (LIST, f"{LIST}/{channel.pk}", f"{LIST}/{channel.pk}/edit", REST, f"{REST}/{channel.pk}"):
        page = admin.get(address).content.decode()
        assert secret not in page
        assert channel.sealed_secret not in page
    assert secret not in str(list(AuditEntry.objects.values()))


def test_paths_and_queries_of_addresses_are_for_nobody(admin, engineer, viewer, hook):
    """Whoever has them can post there as the console does."""
    pages = [(client, address) for client in (admin, engineer, viewer)
             for address in (LIST, f"{LIST}/{hook.pk}", REST, f"{REST}/{hook.pk}")]  # fmt: skip
    for client, address in [*pages, (admin, f"{LIST}/{hook.pk}/edit"), (engineer, f"{LIST}/{hook.pk}/edit")]:
        page = client.get(address).content.decode()
        assert "hooks.example" in page
        assert "geheim" not in page
    assert "geheim" not in str(list(AuditEntry.objects.values()))


def test_an_address_that_is_left_empty_stays(engineer, hook):
    assert engineer.post(f"{LIST}/{hook.pk}/edit", {**FORM, "url": "", "name": "bell"}).status_code == 302
    hook.refresh_from_db()
    assert (hook.name, hook.url) == ("bell", URL)
    assert "url_changed" not in AuditEntry.objects.get(action="channel.change").after
    engineer.post(f"{LIST}/{hook.pk}/edit", {**FORM, "url": "https://hooks.example/other"})
    hook.refresh_from_db()
    assert hook.url == "https://hooks.example/other"


def test_what_came_back_is_for_administrators(admin, viewer, hook):
    """It may quote the path that was called."""
    opened()
    Delivery.objects.update(answer="No route /services/geheim")
    assert "geheim" in admin.get(f"{LIST}/{hook.pk}").content.decode()
    assert "geheim" not in viewer.get(f"{LIST}/{hook.pk}").content.decode()
    assert "geheim" in admin.get(f"{REST}/{hook.pk}/deliveries").content.decode()
    assert "geheim" not in viewer.get(f"{REST}/{hook.pk}/deliveries").content.decode()


def test_a_new_secret_is_shown_once(admin, hook):
    before = sealing.opened(hook.sealed_secret, hook.pk)
    page = admin.post(f"{LIST}/{hook.pk}/rotate").content.decode()
    hook.refresh_from_db()
    secret = sealing.opened(hook.sealed_secret, hook.pk)
    assert secret != before
    assert secret in page
    assert sealing.opened(hook.sealed_previous, hook.pk) == before
    assert secret not in admin.get(f"{LIST}/{hook.pk}").content.decode()


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("webhook", {"name": ""}, "This is required"),
        ("webhook", {"url": ""}, "This is required"),
        ("webhook", {"url": "http://10.0.0.1/"}, "no public address"),
        ("webhook", {"url": "https://ana:x@host.example/"}, "Leave the name and password out"),
        ("webhook", {"rules": "x" * 301}, "at most 20 lines of at most 300"),
        ("webhook", {"subjects": "\n".join(map(str, range(21)))}, "at most 20 lines"),
        ("webhook", {"most_per_minute": "0"}, "Write 1 or more"),
        ("webhook", {"severity": "loud"}, "none of the choices"),
        ("email", {"recipients": ""}, "This is required"),
        ("email", {"recipients": "ana"}, "“ana” is no e-mail address"),
        ("email", {"recipients": "ana@example.org\nBcc: x"}, "no e-mail address"),
        ("email", {"recipients": f"ana@example.org\n{UNWRITABLE}"}, "no e-mail address"),
    ],
)
def test_a_form_that_cannot_be_comes_back_with_what_was_typed(admin, kind, values, words):
    answer = admin.post(f"{LIST}/new?kind={kind}", {**FORM, **values})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert words in page
    assert not Channel.objects.exists()


def test_a_name_is_one_channels_own(admin, hook):
    answer = admin.post(f"{LIST}/new", FORM)
    assert answer.status_code == 422
    assert "Another channel has this name" in answer.content.decode()
    assert admin.post(f"{LIST}/{hook.pk}/edit", FORM).status_code == 302  # but its own


def test_a_channel_is_changed_switched_and_removed(admin, hook):
    admin.post(f"{LIST}/{hook.pk}/edit", {**FORM, "severity": "critical", "most_per_minute": "3"})
    admin.post(f"{LIST}/{hook.pk}/switch", {"is_active": "0"})
    hook.refresh_from_db()
    assert (hook.severity, hook.most_per_minute, hook.is_active, hook.url) == ("critical", 3, False, URL)
    assert admin.post(f"{LIST}/{hook.pk}/remove").status_code == 302
    assert not Channel.objects.exists()
    done = AuditEntry.objects.filter(object_type="alerts.channel").order_by("pk")
    assert [entry.action for entry in done] == [
        "channel.create",
        "channel.change",
        "channel.change",
        "channel.remove",
    ]


def test_the_log_shows_states_and_sends_again(admin, hook, monkeypatch):
    opened(title="Age <drifts>")
    row = Delivery.objects.get()
    row.mark_retry("hooks.example did not answer.")
    page = admin.get(f"{LIST}/{hook.pk}").content.decode()
    assert "Age &lt;drifts&gt;" in page
    assert "hooks.example did not answer." in page
    row.end("failed")
    assert "drifts" not in admin.get(f"{LIST}/{hook.pk}?state=delivered").content.decode()
    answer = admin.post(reverse("alerts:delivery-resend", args=[hook.pk, row.pk]))
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.state, row.delivery_error, row.delivery_attempts) == ("pending", "", 0)
    assert row.next_attempt_at is not None


def test_the_pages_say_that_e_mail_is_not_configured(admin, root, settings):
    assert "E-mail is not configured" in admin.get(LIST).content.decode()
    people, _no_secret = channels.create("email", name="people", recipients=["ana@example.org"], by=root)
    assert "E-mail is not configured" in admin.get(f"{LIST}/{people.pk}").content.decode()
    assert admin.post(f"{LIST}/{people.pk}/test").status_code == 409
    settings.CONSOLE_EMAIL_URL = "smtp://mail.example"
    assert "E-mail is not configured" not in admin.get(LIST).content.decode()
    assert admin.post(f"{LIST}/{people.pk}/test").status_code == 302


def test_the_list_takes_the_same_queries_for_many(admin, root, django_assert_num_queries):
    for number in range(30):
        channels.create("webhook", name=f"channel {number}", url=URL, by=root)
    opened()
    with django_assert_num_queries(4):  # session, user, roles; the channels
        assert admin.get(LIST).status_code == 200


# --- REST


def test_a_secret_is_not_kept_for_a_call_that_comes_again(admin, real_redis):
    key = {"Idempotency-Key": "a-key-of-mine"}
    body = {"kind": "webhook", "name": "pager", "url": URL}
    made = admin.post(REST, body, content_type="application/json", headers=key)
    assert made["Cache-Control"] == "no-store"
    rotate = f"{REST}/{made.json()['id']}/rotate"
    rotated = admin.post(rotate, {}, content_type="application/json", headers=key)
    assert rotated["Cache-Control"] == "no-store"
    client = redis.client()
    kept = [client.dump(name) for name in client.keys("*idem*")]
    secrets = {made.json()["secret"], rotated.json()["secret"]}
    assert [secret for secret in secrets for value in kept if secret.encode() in value] == []
    again = admin.post(rotate, {}, content_type="application/json", headers=key)
    assert again.json()["secret"] not in secrets


def test_a_channel_over_rest(admin, viewer):
    made = post(admin, REST, {"kind": "webhook", "name": "pager", "url": URL, "rules": ["drift"]})
    assert made.status_code == 201
    body = made.json()
    assert body["secret"].startswith("awh_")
    address = f"{REST}/{body['id']}"
    seen = viewer.get(address).json()
    assert (seen["target"], seen["rules"], seen["n_pending"]) == ("https://hooks.example/…", ["drift"], 0)
    assert not {"secret", "url"} & seen.keys()
    assert viewer.get(REST).json()["results"] == [seen]
    changed = post(admin, address, {"severity": "critical", "is_active": False}, "patch").json()
    assert (changed["severity"], changed["is_active"]) == ("critical", False)
    rotated = post(admin, f"{address}/rotate", {}).json()["secret"]
    assert rotated != body["secret"]
    assert post(admin, f"{address}/test", {}).json()["event"] == "test"
    assert admin.delete(address).status_code == 204
    assert admin.get(address).status_code == 404


def test_deliveries_over_rest(admin, hook):
    for number in range(3):
        opened(f"model {number}")
    Delivery.objects.filter(alert__subject="model 1").get().end("failed", delivery_error="No.")
    first = admin.get(f"{REST}/{hook.pk}/deliveries?limit=2").json()
    assert len(first["results"]) == 2
    assert len(admin.get(first["next"]).json()["results"]) == 1
    (failed,) = admin.get(f"{REST}/{hook.pk}/deliveries?state=failed").json()["results"]
    assert (failed["event"], failed["error"], failed["tries"]) == ("opened", "No.", 0)
    assert admin.get(f"{REST}/{hook.pk}/deliveries?state=loud").status_code == 422
    assert admin.get(f"{REST}/77/deliveries").status_code == 404
    resend = f"{REST}/{hook.pk}/deliveries/{failed['id']}/resend"
    assert post(admin, resend, {}).json()["state"] == "pending"
    assert post(admin, resend, {}).status_code == 409  # on its way already
    other = f"{REST}/{hook.pk}/deliveries/{hook.pk:032x}/resend"
    assert post(admin, other, {}).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a"}, "kind"),
        ({"kind": "webhook", "name": "a"}, "url"),
        ({"kind": "webhook", "name": "a", "url": "http://127.0.0.1/"}, "url"),
        ({"kind": "webhook", "name": "a", "url": URL, "recipients": ["a@example.org"]}, "recipients"),
        ({"kind": "email", "name": "a", "url": URL}, "url"),
        ({"kind": "email", "name": "a", "recipients": []}, "recipients"),
        ({"kind": "email", "name": "a", "recipients": ["a"]}, "recipients"),
        ({"kind": "webhook", "name": "a", "url": URL, "secret": "mine"}, "secret"),
        ({"kind": "webhook", "name": "a", "url": URL, "most_per_minute": 0}, "most_per_minute"),
    ],
)
def test_a_body_that_is_not_sound_is_refused_by_field(admin, body, field):
    answer = post(admin, REST, body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_an_e_mail_channel_has_no_secret(root):
    people, secret = channels.create("email", name="people", recipients=["ana@example.org"], by=root)
    assert secret == ""
    with pytest.raises(Conflict, match="Only webhooks"):
        channels.rotate(people.pk, by=root)


def test_there_is_an_end_to_channels(root, monkeypatch, hook):
    monkeypatch.setattr(channels, "MOST_CHANNELS", 1)
    with pytest.raises(Conflict, match="remove one first"):
        channels.create("webhook", name="another", url=URL, by=root)


@pytest.mark.parametrize("role", ["viewer", "predictor"])
def test_others_do_not_write(role, hook):
    by = make_user("vic", role)
    acts = (
        lambda: channels.create("webhook", name="mine", url=URL, by=by),
        lambda: channels.change(hook.pk, name="mine", by=by),
        lambda: channels.rotate(hook.pk, by=by),
        lambda: channels.test(hook.pk, by=by),
        lambda: channels.remove(hook.pk, by=by),
    )
    for act in acts:
        with pytest.raises(Denied):
            act()
    page = signed_in(by).get(f"{LIST}/{hook.pk}").content.decode()
    assert f"{LIST}/{hook.pk}/test" not in page
    assert "New secret" not in page


def test_a_secret_is_sealed_for_its_channel(hook):
    with pytest.raises(Conflict, match="CONSOLE_SECRET_KEY"):
        sealing.opened(hook.sealed_secret, hook.pk + 1)
    assert sealing.seal("a", 1) != sealing.seal("a", 1)


def test_nothing_is_kept_of_a_channel_that_cannot_be(root):
    with pytest.raises(InvalidRequest):
        channels.create("webhook", name="pager", url="http://localhost/", by=root)
    assert not Channel.objects.exists()


@pytest.mark.parametrize("role", ["engineer", "scientist", "approver"])
def test_who_may_change_alert_rules_may_change_channels(role):
    client = signed_in(make_user("eve", role))
    made = post(client, REST, {"kind": "webhook", "name": "pager", "url": URL})
    assert made.status_code == 201
    assert post(client, f"{REST}/{made.json()['id']}/test", {}).status_code < 300
    assert client.get(f"{LIST}/new?kind=webhook").status_code == 200
    assert client.delete(f"{REST}/{made.json()['id']}").status_code == 204
