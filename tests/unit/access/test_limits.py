"""Limits on guessing passwords: by name, by address, at the change of one's own; and how they are lifted."""

import threading
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import Client
from django.utils import timezone

from core.access import actions, limits, places, policy, tasks
from core.access.models import FailedSignIn, User
from core.audit.models import AuditEntry
from tests.people import PASSWORD, make_admin, make_user, signed_in

pytestmark = pytest.mark.django_db
OFFICE, ELSEWHERE = "203.0.113.5", "198.51.100.9"


def browser(address=OFFICE, **headers):
    return Client(REMOTE_ADDR=address, **headers)


def sign_in(client, name="ana", password=PASSWORD):
    return client.post("/sign-in", {"username": name, "password": password})


def guess(client, n, name="ana"):
    return [sign_in(client, name, "wrong").status_code for _n in range(n)]


def later(seconds):
    """As if so much time had passed."""
    for row in FailedSignIn.objects.all():
        row.last_at -= timedelta(seconds=seconds)
        row.save()


def recorded():
    return list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))


# --- a name


def test_the_fifth_wrong_password_begins_the_waits_and_says_how_long():
    make_user("ana")
    client = browser()
    assert guess(client, 4) == [422] * 4
    for password in ("wrong", PASSWORD):  # from now on the right one is refused too
        answer = sign_in(client, password=password)
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) in (29, 30)
        assert f"Wait {answer['Retry-After']} seconds" in answer.content.decode()
        assert 'value="ana"' in answer.content.decode(), "what was typed is kept"
    assert recorded() == ["session.refuse"] * 5 + ["session.lock"]


def test_each_wait_is_twice_as_long_up_to_a_quarter_of_an_hour():
    waits = [int(limits.wait_after(n).total_seconds()) for n in range(1, 13)]
    assert waits == [0] * 4 + [30, 60, 120, 240, 480, 900, 900, 900]
    assert limits.wait_after(10**6) == timedelta(minutes=15)


def test_after_the_wait_there_is_one_more_guess():
    make_user("ana")
    client = browser()
    guess(client, 5)
    later(31)
    assert guess(client, 2) == [429, 429]
    assert int(sign_in(client)["Retry-After"]) in (59, 60)
    later(61)
    assert sign_in(client).status_code == 302


def test_trying_on_while_waiting_lengthens_nothing():
    make_user("ana")
    client = browser()
    guess(client, 20)
    later(31)
    assert sign_in(client).status_code == 302


def test_changing_the_address_does_not_help():
    make_user("ana")
    for n in range(5):
        guess(browser(f"203.0.113.{n}"), 1)
    assert sign_in(browser(ELSEWHERE), password="wrong").status_code == 429


def test_each_address_lengthens_the_wait_of_all():
    make_user("ana")
    waits = []
    for n in range(10):
        guess(browser(f"203.0.113.{n}"), 1)
        waits.append(limits.Attempt(limits.name_key("ana"), ELSEWHERE).wait_s())
        later(900)
    assert waits[:4] == [0] * 4
    assert waits[4:] == pytest.approx([30, 60, 120, 240, 480, 900], abs=2)


def test_one_address_keeps_nobody_out_elsewhere():
    """However often it guesses: a new colleague has no browser that is known."""
    make_user("ana")
    for _n in range(12):
        guess(browser(ELSEWHERE), 1)
        later(900)
    guess(browser(ELSEWHERE), 1)
    assert sign_in(browser(ELSEWHERE)).status_code == 429
    assert sign_in(browser(OFFICE)).status_code == 302


def test_the_page_says_until_when_the_longest_waits():
    make_user("ana")
    guess(browser(ELSEWHERE), 5)
    later(20)
    guess(browser(OFFICE), 1)
    (row,) = limits.names()
    assert (row["username"], row["n"], row["n_places"]) == ("ana", 6, 2)
    assert 8 <= (row["free_at"] - timezone.now()).total_seconds() <= 10, "of the five, not of the sixth"


@pytest.mark.parametrize("name", ["nobody here", "ana"])
def test_a_name_that_nobody_has_waits_just_the_same(name):
    make_user("ana")
    assert guess(browser(), 6, name) == [422] * 4 + [429] * 2


def test_a_success_starts_the_count_anew():
    make_user("ana")
    client = browser()
    guess(client, 4)
    sign_in(client)
    assert guess(browser(), 4) == [422] * 4


def test_what_was_long_ago_does_not_count():
    make_user("ana")
    guess(browser(), 9)
    later(24 * 3600)
    assert guess(browser(), 4) == [422] * 4


@pytest.mark.django_db(transaction=True)
def test_many_guesses_at_once_get_no_further_than_one_after_the_other():
    make_user("ana")
    found, start = [], threading.Barrier(12)

    def run():
        start.wait()
        found.append(sign_in(browser(), password="wrong").status_code)
        connection.close()

    threads = [threading.Thread(target=run) for _n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert FailedSignIn.objects.get().n_failures == 5
    assert found.count(429) >= 7


# --- others behind the same address


def test_one_persons_guesses_do_not_hold_up_the_others_behind_the_address():
    make_user("ana")
    make_user("bob")
    guess(browser(), 50)
    assert sign_in(browser(), "bob").status_code == 302


def test_a_browser_that_is_known_is_held_up_by_nobody():
    make_user("ana")
    own = browser()
    sign_in(own)
    own.post("/sign-out")
    guess(browser(), 9)  # a neighbour, at ana's own name
    for n in range(limits.FREE_NAMES + 5):
        guess(browser(), 1, f"name{n}")
    assert sign_in(browser()).status_code == 429
    assert sign_in(own).status_code == 302


def test_a_browser_that_is_known_has_its_own_growing_waits():
    make_user("ana")
    own = browser()
    sign_in(own)
    own.post("/sign-out")
    assert guess(own, 6) == [422] * 4 + [429] * 2
    assert sign_in(browser()).status_code == 302, "and holds up nobody else"


def test_a_browser_is_known_for_one_name_alone():
    make_user("ana")
    make_user("bob")
    own = browser()
    sign_in(own, "bob")
    own.post("/sign-out")
    guess(browser(), 5)
    assert sign_in(own).status_code == 429


@pytest.mark.parametrize("cookie", ["", "x", "1:0:abc", "1:0:abc:1abcde:made-up", "\u00e9"])
def test_a_cookie_that_we_did_not_write_stands_for_no_browser(cookie, rf):
    request = rf.get("/sign-in")
    request.COOKIES[places.COOKIE] = cookie
    assert places.known_browser(request, make_user("ana")) == ""


def test_a_reset_ends_the_trust_in_browsers():
    ana = make_user("ana")
    own = browser()
    sign_in(own)
    own.post("/sign-out")
    actions.reset_password(ana, by=None)
    guess(browser(), 5)
    assert sign_in(own, password="wrong").status_code == 429


# --- an address


def test_an_address_tries_only_so_many_names():
    make_user("bob")
    client = browser()
    found = [sign_in(client, f"name{n}", "wrong").status_code for n in range(30)]
    assert found == [422] * limits.FREE_NAMES + [429] * (30 - limits.FREE_NAMES)
    answer = sign_in(client, "bob")
    assert answer.status_code == 429
    assert 841 <= int(answer["Retry-After"]) <= 900, "until the first of those names counts no more"
    assert "Wait 15 minutes" in answer.content.decode()
    assert sign_in(browser(ELSEWHERE), "bob").status_code == 302
    later(15 * 60)
    assert sign_in(client, "bob").status_code == 302


def test_ipv6_addresses_of_one_network_count_as_one():
    for n in range(limits.FREE_NAMES):
        guess(browser(f"2001:db8:1:2::{n:x}"), 1, f"name{n}")
    assert guess(browser("2001:db8:1:2:ffff::1"), 1, "another") == [429]
    assert guess(browser("2001:db8:1:3::1"), 1, "another") == [422]


def test_an_ipv4_address_written_as_ipv6_is_the_same():
    for n in range(limits.FREE_NAMES):
        guess(browser(f"::ffff:{OFFICE}"), 1, f"name{n}")
    assert guess(browser(OFFICE), 1, "another") == [429]


def test_behind_a_proxy_the_address_is_what_the_proxy_says(settings):
    settings.CONSOLE_PROXY_COUNT = 1
    for n in range(limits.FREE_NAMES):
        own_claim = f"10.9.8.{n}, {OFFICE}"
        guess(browser("10.0.0.1", headers={"X-Forwarded-For": own_claim}), 1, f"name{n}")
    refused, let_in = [
        guess(browser("10.0.0.1", headers={"X-Forwarded-For": address}), 1, "another")
        for address in (OFFICE, ELSEWHERE)
    ]
    assert (refused, let_in) == ([429], [422])


# --- the current password


def test_the_current_password_is_not_guessed_without_end():
    session = signed_in(make_user("ana"))
    wish = {
        "old_password": "wrong",
        "new_password1": "a new one entirely",
        "new_password2": "a new one entirely",
    }
    assert [session.post("/account/password", wish).status_code for _n in range(5)] == [422] * 5
    for password in ("wrong", PASSWORD):
        answer = session.post("/account/password", {**wish, "old_password": password})
        assert answer.status_code == 429
        assert int(answer["Retry-After"]) in (29, 30)
        assert "Wait" in answer.content.decode()
    assert sign_in(browser()).status_code == 302, "signing in is another matter"
    later(31)
    assert session.post("/account/password", {**wish, "old_password": PASSWORD}).status_code == 302


def test_a_new_password_that_will_not_do_is_no_guess():
    session = signed_in(make_user("ana"))
    wish = {"old_password": PASSWORD, "new_password1": "short", "new_password2": "short"}
    assert [session.post("/account/password", wish).status_code for _n in range(8)] == [422] * 8


# --- what an administrator sees and lifts


def test_an_administrator_sees_who_waits_and_lifts_it():
    make_user("ana")
    guess(browser(), 5)
    guess(browser(), 5, "my password, typed into the wrong field")
    admin = signed_in(make_admin())
    page = admin.get("/system/sign-in")
    text = page.content.decode()
    assert "ana" in text
    assert "a name that nobody has" in text
    assert "typed into" not in text
    key = limits.name_key("ana")
    assert admin.post("/system/sign-in/lift", {"key": key}).url == "/system/sign-in"
    assert sign_in(browser()).status_code == 302
    entry = AuditEntry.objects.get(action="limit.lift")
    assert (entry.actor_name, entry.object_label) == ("root", "ana")
    assert admin.post("/system/sign-in/lift", {"key": key}).status_code == 404


def test_an_administrator_lifts_the_limit_on_an_address():
    for n in range(limits.FREE_NAMES):
        guess(browser(), 1, f"name{n}")
    admin = signed_in(make_admin())
    assert [row["place"] for row in admin.get("/system/sign-in").context["addresses"]] == [OFFICE]
    admin.post("/system/sign-in/lift", {"address": OFFICE})
    assert guess(browser(), 1, "another") == [422]
    assert AuditEntry.objects.get(action="limit.lift").object_id == OFFICE


@pytest.mark.parametrize("wish", [{}, {"key": "x"}, {"key": "", "address": ""}, {"address": "x" * 65}])
def test_a_wish_to_lift_nothing_is_refused(wish):
    assert signed_in(make_admin()).post("/system/sign-in/lift", wish).status_code == 422


def rest(client, wish):
    return client.post("/api/v1/sign-in-limits/lift", wish, content_type="application/json")


def test_a_program_sees_who_waits_and_lifts_it():
    make_user("ana")
    guess(browser(), 5)
    guess(browser(), 5, "my password, typed into the wrong field")
    admin = signed_in(make_admin())
    nobody, ana = admin.get("/api/v1/sign-in-limits").json()["names"]
    assert (nobody["name"], ana["name"], ana["n_failures"]) == (None, "ana", 5)
    assert ana["free_at"] > ana["last_at"]
    assert rest(admin, {"name": "ana"}).status_code == 204
    assert sign_in(browser()).status_code == 302
    assert rest(admin, {"key": nobody["key"]}).status_code == 204
    lifted = AuditEntry.objects.filter(action="limit.lift").order_by("pk")
    assert [(entry.actor_name, entry.object_label) for entry in lifted] == [
        ("root", "ana"),
        ("root", "unknown name"),
    ]
    assert rest(admin, {"name": "ana"}).status_code == 404
    assert admin.get("/api/v1/sign-in-limits").json() == {"names": [], "addresses": []}


def test_a_program_lifts_the_limit_on_a_network():
    for n in range(limits.FREE_NAMES):
        guess(browser("2001:db8:1:2::1"), 1, f"name{n}")
    admin = signed_in(make_admin())
    (found,) = admin.get("/api/v1/sign-in-limits").json()["addresses"]
    assert (found["address"], found["n_names"]) == ("2001:db8:1:2::/64", limits.FREE_NAMES)
    assert rest(admin, {"address": found["address"]}).status_code == 204
    assert guess(browser("2001:db8:1:2::1"), 1, "another") == [422]


@pytest.mark.parametrize(
    "wish", [{}, {"key": "x"}, {"name": ""}, {"address": "x" * 65}, {"name": "ana", "address": OFFICE}, []]
)
def test_a_programs_wish_to_lift_nothing_is_refused(wish):
    make_user("ana")
    guess(browser(), 5)
    assert rest(signed_in(make_admin()), wish).status_code == 422
    assert FailedSignIn.objects.exists()


def test_only_administrators_see_and_lift_over_rest():
    client = signed_in(make_user("ana", *(role for role in policy.ROLES if role != policy.ADMIN)))
    guess(browser(), 5, "bob")
    assert client.get("/api/v1/sign-in-limits").status_code == 403
    assert rest(client, {"name": "bob"}).status_code == 403
    assert FailedSignIn.objects.exists()


def test_the_command_lifts_what_no_page_can_reach():
    make_admin()
    guess(browser(), 5, "root")
    call_command("lift_limits", "--name", "root")
    assert sign_in(browser(), "root").status_code == 302
    with pytest.raises(CommandError, match="Nothing has to wait"):
        call_command("lift_limits", "--address", OFFICE)


def test_a_reset_lifts_the_limit_on_the_name():
    ana = make_user("ana")
    guess(browser(), 5)
    password = actions.reset_password(ana, by=None)
    assert sign_in(browser(), password=password).status_code == 302


def test_names_are_kept_as_hashes_and_old_counts_go():
    guess(browser(), 1, "my secret password")
    assert "secret" not in str(list(FailedSignIn.objects.values_list()))
    FailedSignIn.objects.update(last_at=timezone.now() - limits.REMEMBERED)
    tasks.clear_sessions()
    assert not FailedSignIn.objects.exists()


def test_the_counts_of_a_user_go_with_them():
    make_user("ana")
    guess(browser(), 1)
    User.objects.get(username="ana").delete()
    assert not FailedSignIn.objects.exists()
