"""`campaign new` step by step: asks in plain words, explains, checks each answer at once, and lets one go back.

It writes nothing; what comes out are the members of a document that parses. How one question is asked is
`renewagent.asking`'s, the questions are `renewagent.campaign.questions`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from renewagent import asking
from renewagent.asking import BACK, BACKWARDS, ON, Asker, Members, Question
from renewagent.campaign.document import parse_campaign, time_text
from renewagent.campaign.drafting import LASTS, new_document
from renewagent.campaign.questions import FIRST, LAST, RULE
from renewagent.campaign.summary import remedy_in_words, rules_in_words, unrestricted
from renewagent.errors import CampaignError
from renewagent.reasons import moment
from renewagent.rules import Campaign

_STILL_TO_COME: Mapping[str, Any] = {"id": "still-to-come", "reason": {"en": "Still to come."}}


class Guide:
    """One conversation. `known`: answers that stand in brackets, from the command line or an earlier version."""

    def __init__(self, asker: Asker, known: Mapping[str, Any], now: datetime) -> None:
        self._asker = asker
        self._now = now
        self._members: Members = copy.deepcopy(dict(known))
        self._members.setdefault("expires", time_text(now.replace(microsecond=0) + LASTS))
        self._rules: list[Members] = self._members.pop("rules", []) or [{}]

    def run(self) -> Members:
        """The members, once the person has seen all of it and said yes. Raises PersonStopped."""
        self._asker.say(asking.how("Ctrl-C stops, and nothing is written."))
        steps = [*map(self._step, FIRST), self._ask_rules, *map(self._step, LAST), self._look]
        asking.through(steps)
        return {**self._members, "rules": self._rules}

    def _step(self, question: Question) -> Callable[[int], int]:
        """Takes the way that one comes by, and returns the way to go on."""
        return lambda way: self._ask(question, self._members) if question.applies(self._members) else way

    def _ask_rules(self, way: int) -> int:
        rule, place = (0, 0) if way == ON else (len(self._rules) - 1, len(RULE))
        while True:
            if place < 0 and rule == 0:
                return BACKWARDS
            if place < 0:
                rule, place = rule - 1, len(RULE)
            elif place < len(RULE):
                place += self._ask(RULE[place], self._rules[rule])
            elif (more := self._another(rule)) is None:
                place -= 1
            elif more:
                rule, place = rule + 1, 0
            else:
                return ON

    def _another(self, rule: int) -> bool | None:
        """Show the rules, and ask for one more; None for back."""
        campaign = self._campaign()
        self._asker.say("\n" + "\n".join(rules_in_words(campaign)))
        if unrestricted(campaign):
            self._asker.say("A rule that hits every certificate is seldom what is meant.")
        if rule + 1 < len(self._rules):
            return None if self._asker.ask("Enter for the next rule: ").strip() == BACK else True
        typed = self._asker.ask("Is there another kind of affected certificate? y or n [n]: ").strip().lower()
        if typed in ("y", "yes"):
            self._rules.append({})
            return True
        return None if typed == BACK else False

    def _ask(self, question: Question, members: Members) -> int:
        return asking.ask(self._asker, question, members, lambda _: self._check())

    def _check(self) -> None:
        try:
            self._campaign()
        except CampaignError as problem:
            raise ValueError(str(problem).removeprefix("This is not a valid campaign: ")) from problem

    def _campaign(self) -> Campaign:
        """What there is so far, with something in place of what is still to come."""
        rules = [{"name": f"rule {number}", **rule} for number, rule in enumerate(self._rules, start=1)]
        return parse_campaign(new_document({**_STILL_TO_COME, **self._members, "rules": rules}, self._now))

    def _look(self, way: int) -> int:
        campaign = self._campaign()
        contact = (campaign.contact.name, campaign.contact.phone, campaign.contact.url, campaign.contact.hours)
        whole = [
            f"\nThis is campaign {campaign.id}:",
            *rules_in_words(campaign),
            remedy_in_words(campaign),
            f"It is in force until {moment(campaign.expires)}.",
            f"What people are told: {campaign.reason['en']}",
            f"Whom they may ask: {', '.join(filter(None, contact)) or 'nobody is named'}.",
        ]
        self._asker.say("\n".join(whole))
        typed = self._asker.ask(f"Write it? Enter for yes, {BACK} to go back: ").strip().lower()
        return ON if typed in ("", "y", "yes") else BACKWARDS
