"""A stand-in for the renewing child: asks for a passcode on its channel and says how long it was."""

from __future__ import annotations

import sys

from renewagent.agent import words
from renewagent.agent.prompts import ChannelPrompter
from renewagent.model import CardIdentity

CARD = CardIdentity("chuid", "aa4821")

if __name__ == "__main__":
    prompter = ChannelPrompter.from_fd(int(sys.argv[sys.argv.index("--channel-fd") + 1]))
    prompter.tell(words.before(CARD, 3))
    with prompter.ask_pin(CARD, 3, words.pin_wanted(CARD, 3)) as pin:
        prompter.result({"ok": True, "octets": len(pin.reveal()), "words": sys.argv[1:]})
    prompter.close()
