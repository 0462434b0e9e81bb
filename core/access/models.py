"""Users with roles (groups), and the API tokens by which programs act for them."""

from collections.abc import Iterable
from datetime import datetime
from typing import ClassVar

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac


class User(AbstractUser):
    """A person, or a pipeline's system principal, which cannot sign in."""

    is_system = models.BooleanField(default=False)
    is_demo = models.BooleanField(default=False)
    must_change_password = models.BooleanField(default=False)
    # Counts up when all sessions end; each session holds a hash over it.
    session_round = models.PositiveIntegerField(default=0)
    # How pages speak to this person; empty: as the browser asks.
    language = models.CharField(max_length=16, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")

    # Set on the instance when a token acts for the user: only these scopes of theirs count.
    token_scopes: frozenset[str] | None = None
    token_name: str = ""
    token_id: int | None = None
    token_expires_at: datetime | None = None

    class Meta:
        ordering: ClassVar = ["username"]

    def _get_session_auth_hash(self, secret: str | None = None) -> str:  # from this Django makes both hashes
        """What a session must hold to count: over the password, and the round where sessions ended before."""
        of_password: str = super()._get_session_auth_hash(secret=secret)  # type: ignore[misc]  # not in the stubs
        if not self.session_round:
            return of_password
        text = f"{of_password}:{self.session_round}"
        return salted_hmac("core.access.models.User", text, secret=secret, algorithm="sha256").hexdigest()

    def get_absolute_url(self) -> str:
        return reverse("access:user-detail", args=[self.pk])

    @property
    def role_names(self) -> list[str]:
        """Names of the user's roles, read once for each instance; prefetched groups cost nothing."""
        if not hasattr(self, "_role_names"):
            self.know_roles(group.name for group in self.groups.all())
        return self._role_names

    def know_roles(self, names: Iterable[str]) -> None:
        """The roles that somebody has read already."""
        self._role_names = sorted(names)

    def forget_roles(self) -> None:
        """Read the roles anew when asked next."""
        del self._role_names

    @property
    def state(self) -> str:
        """The account's state for a badge."""
        if not self.is_active:
            return "deactivated"
        if self.is_system:
            return "system"
        return "one_time_password" if self.must_change_password else "active"


class ApiToken(models.Model):
    """A named key with some of its owner's scopes and an end. Only the SHA-256 of the key is kept.

    parent: the token by which this one was made. It ends no later than that, whatever its own row says.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    key_sha256 = models.CharField(max_length=64, unique=True)
    key_hint = models.CharField(max_length=12)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.key_hint}…)"

    def get_absolute_url(self) -> str:
        """The page that lists it."""
        return reverse("access:all-token-list")

    @property
    def state(self) -> str:
        """active, revoked or expired."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expires_at > timezone.now() else "expired"

    @property
    def is_live(self) -> bool:
        """Whether the token opens anything now."""
        return self.state == "active"


class FailedSignIn(models.Model):
    """Wrong passwords in a row for one name from one place; see `limits`.

    name_key: SHA-256 of the name as it was typed. user: whose name it is, where somebody has it.
    place: an address, a known browser, or the page where the password is changed.
    """

    name_key = models.CharField(max_length=64)
    user = models.ForeignKey(User, null=True, on_delete=models.CASCADE, related_name="+")
    place = models.CharField(max_length=64)
    n_failures = models.PositiveIntegerField(default=1)
    last_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name_key", "place"], name="one_count_a_name_and_place")
        ]
        indexes: ClassVar = [models.Index(fields=["place", "last_at"], name="failed_by_place")]

    def __str__(self) -> str:
        return f"{self.user or self.name_key[:8]} from {self.place}: {self.n_failures}"
