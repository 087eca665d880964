"""Where sentences end, mark by mark and language by language."""

import pytest

from amber_jax.corpora.sentences import split_sentences

TEXTS = [
    ("en", "Dr. No left.| He ran!| “Why?” she asked.| It was 3 p.m. Eastern time."),
    ("en", "J. R. Smith met the U.S. Senate.| (It was late.)| Then... nothing."),
    ("en", "See www.example.org.| Version 2.5 is out.| Yahoo! is not a sentence"),
    ("de", "Am 3. Mai kam er.| „Ja!“| Sie ging z. B. nach Haus."),
    ("en", "He came in 1999.| It rained.| That was on page 3.| Nobody knew."),
    ("ru", "Он родился в 1990 г. в Москве.| Это т.е. столица.| Да?| Нет!"),
    ("ar", "ذهب إلى المدرسة.| هل عاد؟| نعم."),
    ("hi", "यह घर है।| मि. शर्मा कहाँ हैं?| यहाँ।"),
    ("zh", "他说：“我来了。”|然后走了！|为什么？|不知道"),
    ("zh_TW", '他問："你好嗎？"|我很好。|"是嗎？"|是。'),
    ("ja", "「行こう。」と彼は言った。|本当?|はい!|「何？」|いや、雨だ。"),
    ("ko", "안녕하세요.| 어디 가요?| 집에요."),
    ("my", "သူသွားသည်။| သူလာသည်။"),
    ("th", "เขาไป. เขามา"),
    ("tlh", "One.| Two"),
    ("fr", ""),
]


@pytest.mark.parametrize(("language", "text"), TEXTS)
def test_sentences(language, text):
    sentences = [part.strip() for part in text.split("|")] if text else []
    assert split_sentences(text.replace("|", ""), language) == sentences


@pytest.mark.parametrize(("language", "text"), TEXTS)
def test_nothing_but_space_is_lost(language, text):
    text = text.replace("|", "")
    joined = "".join(split_sentences(text, language))
    assert joined.replace(" ", "") == text.replace(" ", "")
