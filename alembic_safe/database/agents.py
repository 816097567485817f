"""Whether a person or an AI coding agent runs this process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Variables that coding agents set in the shells they open. Deliberately not here: variables that an editor or a
# hosting service sets for its human users as well (CURSOR_TRACE_ID, REPL_ID).
_BY_VARIABLE = {
    "CLAUDECODE": "Claude Code",
    "CODEX_THREAD_ID": "Codex",
    "CODEX_CI": "Codex",
    "GEMINI_CLI": "Gemini CLI",
    "QWEN_CODE": "Qwen Code",
    "CURSOR_AGENT": "Cursor",
    "COPILOT_CLI": "Copilot CLI",
    "OPENCODE": "opencode",
    "OPENCODE_CLIENT": "opencode",
    "CLINE_ACTIVE": "Cline",
    "CRUSH": "Crush",
    "AUGMENT_AGENT": "Augment",
    "ANTIGRAVITY_AGENT": "Antigravity",
}
_OFF = ("", "0", "false", "no")


def detect_agent(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the name of the agent that runs this process, or ``None`` for a person or a pipeline."""
    env = os.environ if environ is None else environ
    for variable, name in _BY_VARIABLE.items():
        if env.get(variable, "").lower() not in _OFF:
            return name
    if any(key.startswith("CODEX_SANDBOX") for key in env):
        return "Codex"
    if env.get("OR_APP_NAME") == "Aider":
        return "Aider"
    if env.get("REPLIT_SESSION", "").startswith("agent-"):
        return "Replit Agent"
    for generic in ("AI_AGENT", "AGENT"):
        value = env.get(generic, "")
        if value.lower() not in _OFF:
            return "".join(c for c in value if c.isalnum() or c in " ._-")[:64] or "an agent"
    if Path("/opt/.devin").exists():
        return "Devin"
    return None
