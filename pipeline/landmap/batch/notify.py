"""A web hook hears of scenes that fail, and of the end of a batch: one JSON object by POST."""

from __future__ import annotations

import http.client
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

from landmap.errors import SettingsError

LOG = logging.getLogger("landmap")

TIMEOUT_SECONDS = 10
"""Seconds that a hook has for its answer; meanwhile the batch waits."""
PAUSE_SECONDS = 60
"""Least seconds from one message about failures to the next, which names all that failed meanwhile."""
LISTED = 20
"""Number of failures that a message names."""


class Notifier:
    """Posts messages to a web hook. That it can't be reached is a warning, never the end of a batch.

    A message has `event` ("failed", "finished" or "stopped"), `batch` (name of its folder), `states` (number of
    scenes by state), `failures` (scene and error of the latest), and `text`, which says the same in words: chat
    services such as Slack and Mattermost show it.
    """

    def __init__(self, url: str | None, batch: str) -> None:
        """Check the address; nothing is sent.

        Args:
            url: Address of the hook; None: there is none, and nothing is ever sent.
            batch: Name of the batch in messages.

        Raises:
            SettingsError: It is no address of the web.
        """
        self._url, self._batch = url, batch
        self._failures: list[dict[str, str]] = []
        self._after = 0.0
        try:
            parts = urlsplit(url or "http://none")
            self._shown = f"{parts.scheme}://{parts.hostname}"  # the rest of a hook's address is its password
            is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            is_web = False
        if not is_web:
            raise SettingsError("notify: expected an address that begins with http:// or https://. Received another")

    def failed(self, scene: str, error: str, states: Mapping[str, int]) -> None:
        """Tell of a scene that failed for good; within a minute of the last such message it is kept for the next one.

        Args:
            scene: The scene, without credentials.
            error: Why it failed.
            states: Number of scenes by state.
        """
        self._failures.append({"scene": scene, "error": error})
        if time.monotonic() >= self._after:
            number = len(self._failures)
            what = "1 scene" if number == 1 else f"{number} scenes"
            self._post("failed", f"{what} failed: {error}", states)
            self._after = time.monotonic() + PAUSE_SECONDS

    def ended(self, states: Mapping[str, int], error: str = "") -> None:
        """Tell of the end of a run.

        Args:
            states: Number of scenes by state.
            error: What stopped it; "" where it is finished.
        """
        self._post("stopped" if error else "finished", f"stopped: {error}" if error else "finished", states)

    def _post(self, event: str, text: str, states: Mapping[str, int]) -> None:
        if self._url is None:
            return
        counts = ", ".join(f"{number} {state}" for state, number in states.items() if number)
        content = {
            "event": event,
            "batch": self._batch,
            "text": f"landmap batch {self._batch}: {text} ({counts})",
            "states": dict(states),
            "failures": self._failures[-LISTED:],
        }
        self._failures = []
        headers = {"Content-Type": "application/json", "User-Agent": "landmap"}
        request = urllib.request.Request(self._url, json.dumps(content).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
                pass
        except (OSError, ValueError, http.client.HTTPException) as error:
            why = f"status {error.code}" if isinstance(error, urllib.error.HTTPError) else type(error).__name__
            LOG.warning("can't notify %s that the batch %s: %s", self._shown, event, why)
