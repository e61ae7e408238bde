"""Which processes of a service used how much of the processors."""

from collections import Counter

import psutil


class CpuUse:
    """CPU seconds by process name, of a process and all it has started, since this was made."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._began = self._now()

    def seconds(self) -> dict[str, float]:
        """The busiest first; what ended meanwhile is left out."""
        used = Counter[str]()
        for (number, name), seconds in self._now().items():
            used[name] += seconds - self._began.get((number, name), 0.0)
        return {name: round(seconds, 2) for name, seconds in used.most_common() if seconds >= 0.05}

    def _now(self) -> dict[tuple[int, str], float]:
        found = {}
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                times, words = process.cpu_times(), process.cmdline()
            except psutil.Error:
                continue
            found[process.pid, _name(words)] = times.user + times.system
        return found


def _name(words: list[str]) -> str:
    """A short name without what differs from start to start."""
    title = words[0].split()[0] if words else "gone"
    named = title.startswith(("ray::", "VLLM::"))
    last = next((word for word in words[1:3] if not word.startswith("-")), "")
    return title if named else " ".join(part.rsplit("/", 1)[-1] for part in (title, last) if part)
