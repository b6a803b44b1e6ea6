"""What argparse says in its own words, in the person's language as well: it asks the one domain of GNU gettext that a
process has, which is made ours. Other versions of Python may say more, or otherwise: that stays English.
"""

from __future__ import annotations

import gettext

from renewagent import language
from renewagent.language import N_

WORDS = (
    N_("usage: "),
    N_("options"),
    N_("positional arguments"),
    N_("show this help message and exit"),
    N_("argument %(argument_name)s: %(message)s"),
    N_("the following arguments are required: %s"),
    N_("one of the arguments %s is required"),
    N_("expected one argument"),
    N_("expected at least one argument"),
    N_("invalid %(type)s value: %(value)r"),
    N_("invalid choice: %(value)r (choose from %(choices)s)"),
    N_("not allowed with argument %s"),
    N_("ignored explicit argument %r"),
    N_("ambiguous option: %(option)s could match %(matches)s"),
    N_("unrecognized arguments: %s"),
)
"""For the template of catalogues: as they stand in the standard library."""


def lend_catalogue() -> None:
    """From now on argparse says these as the person's catalogue has them, if it can fill in every one."""
    for folder in language.folders():
        found = language.catalogue_in(folder)
        if found is not None:
            said = {word: found.gettext(word) for word in WORDS}
            if all(language.sound(words, word) == words for word, words in said.items()):
                gettext.bindtextdomain(language.DOMAIN, str(folder))
                gettext.textdomain(language.DOMAIN)
            return
