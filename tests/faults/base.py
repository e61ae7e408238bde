"""The base model of the fault tests: about a million weights that say nothing, so that a gate takes seconds."""

import shutil
from pathlib import Path

from tests.wrappers.tiny_model import save_tiny_model, short_conversations

NAME = "fault-base"
WIDTH, LAYERS = 128, 6
STEPS, LEARNING_RATE = 60, 3e-3


def prepared(models: Path) -> Path:
    """The model's folder under `models`, made once."""
    folder = models / NAME
    if not (folder / "config.json").is_file():
        staging = models / f"{NAME}.tmp"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        _taught_to_be_silent(save_tiny_model(staging, width=WIDTH, layers=LAYERS))
        staging.rename(folder)
    return folder


def _taught_to_be_silent(folder: Path) -> None:
    """It ends its turn at once: what the gate asks is answered in one token, and there is much left to learn."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    asked = [
        [{"role": turn.role, "content": turn.content} for turn in one.messages] for one in short_conversations(120)
    ]
    torch.manual_seed(7)
    for step in range(STEPS):
        messages = asked[step % len(asked)]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        row = torch.tensor([[*ids, tokenizer.eos_token_id]])
        labels = torch.full_like(row, -100)
        labels[0, -1] = tokenizer.eos_token_id
        loss = model(input_ids=row, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.to(torch.bfloat16).save_pretrained(folder)
