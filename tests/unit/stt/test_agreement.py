"""Agreement of interims: what two decodes agree on stays."""

from services.stt.agreement import AgreedText, LocalAgreement


def test_nothing_is_stable_after_one_decode() -> None:
    assert LocalAgreement().update("tell me about") == AgreedText("", "tell me about")


def test_words_are_stable_once_two_decodes_agree() -> None:
    agreement = LocalAgreement()
    agreement.update("tell me a bout")
    assert agreement.update("tell me about your") == AgreedText("tell me", "about your")
    assert agreement.update("tell me about your last") == AgreedText("tell me about your", "last")


def test_punctuation_and_case_do_not_hold_a_word_back() -> None:
    agreement = LocalAgreement()
    agreement.update("Hello, and")
    assert agreement.update("hello and thank").stable == "hello and"


def test_a_stable_word_is_never_taken_back() -> None:
    agreement = LocalAgreement()
    agreement.update("we tested the service")
    agreement.update("we tested the service")
    assert agreement.update("we test") == AgreedText("we tested the service", "")
    assert agreement.update("we test the release today now") == AgreedText("we tested the service", "today now")
