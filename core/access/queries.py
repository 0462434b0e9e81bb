"""Reads of users and tokens. `live_tokens` is what a process keeps that checks tokens by itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import Group
from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from core.access import policy
from core.access.models import ApiToken, User
from core.lib.errors import NotFound
from core.lib.hits import Hit


@dataclass(frozen=True)
class TokenGrant:
    """What one live token opens: its own scopes, as far as its owner still has them."""

    key_sha256: str
    token_id: int
    token_name: str
    user_id: int
    username: str
    scopes: frozenset[str]
    expires_at: datetime
    is_demo: bool


def live_tokens() -> list[TokenGrant]:
    """Every token that opens anything now, in two queries however many there are."""
    rows = ApiToken.objects.filter(revoked_at=None, expires_at__gt=timezone.now(), user__is_active=True)
    rows = rows.select_related("user").prefetch_related("user__groups").order_by("pk")
    ends: dict[int | None, datetime] = {}
    grants = []
    for token in rows:  # a parent is older than its children: it comes first, or is not live
        if token.parent_id is not None and token.parent_id not in ends:
            continue
        ends[token.pk] = min(token.expires_at, ends.get(token.parent_id, token.expires_at))
        grants.append(_grant(token, ends[token.pk]))
    return grants


def common_language(addresses: Iterable[str]) -> str:
    """That all people of these e-mail addresses chose; the console's own where one of them chose none.

    An address that is no user's, as of a list of a team, chose none.
    """
    wanted = {address.lower() for address in addresses}
    known = User.objects.annotate(address=Lower("email")).filter(address__in=wanted)
    found = list(known.values_list("address", "language"))
    languages = {language for _address, language in found}
    is_one = {address for address, _language in found} == wanted and len(languages) == 1
    language = languages.pop() if is_one else ""
    return language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE


def lineage(token: ApiToken) -> Iterator[ApiToken]:
    """The token, the one by which it was made, and so on: one query for each but the first."""
    found: ApiToken | None = token
    while found is not None:
        yield found
        found = found.parent


def with_descendants(token: ApiToken) -> list[ApiToken]:
    """The token and all that were made by it, by their children, and so on: one query a generation."""
    found, youngest = [token], [token]
    while youngest:
        youngest = list(ApiToken.objects.select_related("user").filter(parent__in=youngest))
        found += youngest
    return found


def _grant(token: ApiToken, expires_at: datetime) -> TokenGrant:
    owner = token.user
    owner.token_scopes = frozenset(token.scopes)
    return TokenGrant(
        key_sha256=token.key_sha256,
        token_id=token.pk,
        token_name=token.name,
        user_id=owner.pk,
        username=owner.username,
        scopes=policy.scopes_of(owner),
        expires_at=expires_at,
        is_demo=owner.is_demo,
    )


def tokens_of(user: User, **wanted: str) -> QuerySet[ApiToken]:
    """The user's tokens, live ones first, newest first. wanted: as `all_tokens` takes it."""
    return all_tokens(**wanted).filter(user=user)


def n_live_tokens(user: User) -> int:
    """How many tokens of the user open anything now."""
    return user.tokens.filter(revoked_at=None, expires_at__gt=timezone.now()).count()


def all_tokens(*, words: str = "", state: str = "") -> QuerySet[ApiToken]:
    """Everybody's tokens, live ones first, newest first. state: "active" or "over" for some of them."""
    is_over = Q(revoked_at__isnull=False) | Q(expires_at__lte=timezone.now())
    found = (
        ApiToken.objects.select_related("user", "parent").annotate(is_over=is_over).order_by("is_over", "-pk")
    )
    if words:
        found = found.filter(Q(name__icontains=words) | Q(user__username__icontains=words))
    return found.filter(is_over=state == "over") if state else found


def users(*, words: str = "", role: str = "", state: str = "", order: str = "") -> QuerySet[User]:
    """People and pipelines' accounts, people first. state, order: keys of the tables below."""
    found = User.objects.prefetch_related("groups").annotate(n_tokens=_n_live_tokens())
    if words:
        found = found.filter(Q(username__icontains=words) | Q(email__icontains=words))
    if role:
        found = found.filter(pk__in=User.objects.filter(groups__name=role).values("pk"))
    return found.filter(USER_STATES.get(state, Q())).order_by(
        "is_system", USER_ORDERS.get(order, F("username"))
    )


def user(username: str) -> User:
    """The one of `users` with this name. Raises NotFound."""
    found = users().filter(username=User.normalize_username(username)).first()
    if found is None:
        raise NotFound(gettext("There is no user “%(name)s”.") % {"name": username})
    return found


USER_ORDERS = {
    "username": F("username").asc(),
    "-username": F("username").desc(),
    "last_login": F("last_login").asc(nulls_first=True),
    "-last_login": F("last_login").desc(nulls_last=True),
}

USER_STATES = {
    "active": Q(is_active=True, is_system=False),
    "deactivated": Q(is_active=False),
    "one-time": Q(must_change_password=True, is_active=True),
    "system": Q(is_system=True),
}


USER_STATE_WORDS = {
    "active": _("Active"),
    "one-time": _("With a one-time password"),
    "deactivated": _("Deactivated"),
    "system": _("Pipelines' accounts"),
}


def _n_live_tokens() -> Count:
    is_live = Q(tokens__revoked_at=None, tokens__expires_at__gt=timezone.now())
    return Count("tokens", filter=is_live, distinct=True)


def role_counts() -> dict[str, int]:
    """How many active people hold each role."""
    people = Q(user__is_active=True, user__is_system=False)
    counted = Group.objects.filter(name__in=policy.ROLES).annotate(n=Count("user", filter=people))
    return {group.name: group.n for group in counted}


def search(text: str, user: User) -> list[Hit]:
    """People by name or address, for whoever may see them."""
    if not policy.allows(user, "admin"):
        return []
    found = User.objects.filter(Q(username__icontains=text) | Q(email__icontains=text)).order_by("username")
    return [
        Hit(row.username, reverse("access:user-detail", args=[row.pk]), str(_("user")), "users")
        for row in found[:5]
    ]


def search_tokens(text: str, user: User) -> list[Hit]:
    """One's own tokens by name, live ones first; for administrators everybody's, by their owner too."""
    is_all = policy.allows(user, "admin")
    page = reverse("access:all-token-list" if is_all else "access:token-list")
    found = all_tokens(words=text) if is_all else tokens_of(user).filter(name__icontains=text)
    return [
        Hit(
            f"{row.name} ({row.user.username})" if is_all else row.name,
            f"{page}?{urlencode({'words': row.name})}" if is_all else page,
            str(_("API token")),
            "system",
        )
        for row in found[:5]
    ]
