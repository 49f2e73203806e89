"""Dialogues of self-play for people to read: what each said, and what it was worth."""

from collections.abc import Callable, Mapping, Sequence

from .judges import Judged
from .rollouts import AGENTS, Dialogues

NAMES = ("A", "B")  # agents 0 and 1


def as_fields(dialogues: Dialogues, judged: Mapping[int, Judged], text: Callable[[Sequence[int]], str]) -> list[dict]:
    """One dictionary per rollout: personas, what B said first, and the turns in their order."""
    made = []
    for rollout in range(dialogues.rollouts):
        turns = []
        for turn in range(dialogues.turns):
            for agent in AGENTS:
                of_agent = judged[agent]
                parts = {name: round(part[rollout, turn].item(), 4) for name, part in sorted(of_agent.parts.items())}
                turns.append({
                    "speaker": NAMES[agent],
                    "text": text(dialogues.said[agent][turn][rollout]),
                    "reward": round(of_agent.reward[rollout, turn].item(), 4),
                    **parts,
                    "persona_score": round(of_agent.persona_score[rollout, turn].item(), 4),
                })  # fmt: skip
        personas = {
            NAMES[agent]: [text(sentence) for sentence in dialogues.scene.personas[agent][rollout]] for agent in AGENTS
        }
        made.append({"personas": personas, "opening": text(dialogues.scene.opening), "turns": turns})
    return made


def means(made: Sequence[dict]) -> dict[str, float]:
    """Of all utterances of agent 0, who samples, the mean of each number."""
    turns = [turn for dialogue in made for turn in dialogue["turns"] if turn["speaker"] == NAMES[0]]
    names = [name for name in turns[0] if name not in ("speaker", "text")]
    return {name: round(sum(turn[name] for turn in turns) / len(turns), 4) for name in names}


def as_text(made: Sequence[dict]) -> str:
    """One block per dialogue, with rewards behind what was said."""
    blocks = []
    for number, dialogue in enumerate(made, 1):
        lines = [f"dialogue {number}"]
        lines += [f"  {name} is: {' | '.join(sentences)}" for name, sentences in dialogue["personas"].items()]
        lines.append(f"{NAMES[1]}: {dialogue['opening']}")
        for turn in dialogue["turns"]:
            numbers = ", ".join(f"{name} {turn[name]:.2f}" for name in turn if name not in ("speaker", "text"))
            lines.append(f"{turn['speaker']}: {turn['text']}\n     ({numbers})")
        blocks.append("\n".join(lines))
    numbers = ", ".join(f"{name} {value:.3f}" for name, value in means(made).items())
    return "\n\n".join([*blocks, f"means of {NAMES[0]}: {numbers}"])
