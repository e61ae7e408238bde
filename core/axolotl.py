"""The Axolotl config that trains on an exported file, as YAML text."""

import json

from core.formats import ExportFormat

WITH_CONFIG: tuple[ExportFormat, ...] = ("messages", "sharegpt")
_FIELDS = {"messages": ("messages", "role", "content"), "sharegpt": ("conversations", "from", "value")}
_ROLES = {"messages": ("user", "assistant"), "sharegpt": ("human", "gpt")}


def axolotl_config(format: ExportFormat, data_file: str, base_model: str) -> str:
    """YAML that learns the last reply of each record alone. ValueError for a format without a list of turns.

    `message_field_training` reads the weight that our exports put on earlier answers.
    """
    if format not in WITH_CONFIG:
        raise ValueError(
            f"Expected an export as {' or '.join(WITH_CONFIG)} for Axolotl's chat_template, found {format}"
        )
    field, role, content = _FIELDS[format]
    user, assistant = _ROLES[format]
    return f"""\
base_model: {_quoted(base_model)}
chat_template: tokenizer_default
datasets:
  - path: {_quoted(data_file)}
    ds_type: json
    type: chat_template
    field_messages: {field}
    message_property_mappings:
      role: {role}
      content: {content}
    message_field_training: weight
    roles:
      system: [system]
      user: [{user}]
      assistant: [{assistant}]
      tool: [tool]
    roles_to_train: [assistant]
    train_on_eos: turn
"""


def _quoted(text: str) -> str:
    """As JSON, which YAML reads; what cannot be printed is escaped as YAML does, which knows no surrogate pairs."""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in json.dumps(text, ensure_ascii=False))
