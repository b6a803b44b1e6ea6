"""The same tests on a card in this process, through a real PC/SC service (--card=pcsc), or on a real card."""

import pytest

from certificate_reader import report


@pytest.mark.card(subject="CN=Dr Ada Lamb,O=Test Surgery,C=GB", expires="2031-05-04")
def test_it_says_whose_card_it_is_and_until_when(virtual_reader, virtual_card):
    virtual_reader.insert(virtual_card)
    assert report(virtual_reader.name) == "CN=Dr Ada Lamb,O=Test Surgery,C=GB, until 04 May 2031"


@pytest.mark.card(key="rsa2048", subject="CN=Dr Ada Lamb,O=Test Surgery,C=GB", expires="2031-05-04")
def test_it_reads_a_certificate_that_takes_several_answers(virtual_reader, virtual_card):
    virtual_reader.insert(virtual_card)
    assert report(virtual_reader.name) == "CN=Dr Ada Lamb,O=Test Surgery,C=GB, until 04 May 2031"


@pytest.mark.card(key=None)
def test_a_card_without_certificates(virtual_reader, virtual_card):
    virtual_reader.insert(virtual_card)
    assert report(virtual_reader.name) == "There is no signing certificate on this smartcard."


def test_a_reader_without_a_card(virtual_reader):
    assert report(virtual_reader.name) == "There is no smartcard in the reader."


def test_a_card_that_is_pulled_out_while_it_is_read(virtual_reader, virtual_card):
    virtual_reader.insert(virtual_card)
    virtual_card.pull_out(after=2)
    assert report(virtual_reader.name) == "The smartcard was removed."
