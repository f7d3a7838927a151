"""MQTT topic filters: whether one is well formed, what its wildcards matched, whether two can match one topic."""

import re
from collections.abc import Callable

_MAX_FILTER_BYTES = 65535


def filter_error(topic_filter: str) -> str:
    """Return what is wrong with a topic filter (MQTT 5, section 4.7), in words for its writer; "" if nothing is."""
    if not topic_filter:
        return 'is empty; write a topic, for example "site/+/temperature"'
    if "\0" in topic_filter or len(topic_filter.encode("utf-8", "replace")) > _MAX_FILTER_BYTES:
        return "holds a NUL character or is longer than 65535 bytes"
    if topic_filter.startswith("$share/"):
        return "is a shared subscription, which would hide messages from this agent; leave out $share/GROUP/"
    levels = topic_filter.split("/")
    for number, level in enumerate(levels):
        if "#" in level and (level != "#" or number != len(levels) - 1):
            return '# must be the whole last level; write "a/#"'
        if "+" in level and level != "+":
            return '+ must be a whole level; write "a/+/b"'
    return ""


def has_wildcards(topic_filter: str) -> bool:
    """Return whether a well-formed filter can match more than one topic."""
    return any(level in ("+", "#") for level in topic_filter.split("/"))


def matcher(topic_filter: str) -> Callable[[str], str | None]:
    """Return a function that gives what the wildcards matched, joined by "/" ("" without wildcards); None: no match."""
    levels = topic_filter.split("/")
    parts = ["([^/]*)" if level == "+" else re.escape(level) for level in levels]
    if levels[-1] == "#":
        # "a/#" matches "a" too (MQTT 5, 4.7.1.2)
        pattern = "(.*)" if len(levels) == 1 else "/".join(parts[:-1]) + "(?:/(.*))?"
    else:
        pattern = "/".join(parts)
    match = re.compile(pattern, re.DOTALL).fullmatch
    hidden = levels[0] in ("+", "#")  # such filters do not match topics that begin with $ (MQTT 5, 4.7.2)

    def instance(topic: str) -> str | None:
        found = None if hidden and topic.startswith("$") else match(topic)
        return None if found is None else "/".join(group or "" for group in found.groups())

    return instance


def overlap(one: str, other: str) -> bool:
    """Return whether some topic is matched by both filters."""
    return _overlap(one.split("/"), other.split("/"))


def _overlap(one: list[str], other: list[str]) -> bool:
    if one[:1] == ["#"] or other[:1] == ["#"]:
        return True
    if not one or not other:
        return not one and not other
    return (one[0] == other[0] or "+" in (one[0], other[0])) and _overlap(one[1:], other[1:])
