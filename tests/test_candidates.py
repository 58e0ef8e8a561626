from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from tasks.candidates import fertility, row_tokens
from tasks.documents import Document


def pairs_of_letters(folder: Path) -> Path:
    """A tokenizer that knows single letters and the pair `ab`, and that would cut and pad what it is given."""
    words = {"[UNK]": 0, "[PAD]": 1, "ab": 2, "##ab": 3, "a": 4, "##a": 5, "b": 6, "##b": 7}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


def row(number: int, text: str) -> Document:
    return Document(id=str(number), text=text, label="x", group=str(number))


def test_fertility_is_tokens_a_word_over_whole_texts(tmp_path: Path) -> None:
    file = pairs_of_letters(tmp_path)
    assert fertility(file, [row(0, "ab ab ab ab")]) == (1.0, None)
    assert fertility(file, [row(0, "aa bb aa bb")]) == (2.0, None)
    assert fertility(file, [row(0, "ab ab"), row(1, "abab aaaa")]) == (2.0, None)


def test_fertility_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    file = pairs_of_letters(tmp_path)
    rows = [row(i, "ab " * (i % 3) + "bba") for i in range(2500)]
    assert fertility(file, rows) == fertility(file, rows[::-1])


def test_texts_without_words_have_no_fertility_but_a_reason(tmp_path: Path) -> None:
    value, reason = fertility(pairs_of_letters(tmp_path), [row(0, " \n ")])
    assert value is None
    assert reason == "the training texts have no words"


def test_row_tokens_are_quantiles_of_whole_rows_with_the_marks_of_the_model(tmp_path: Path) -> None:
    file = pairs_of_letters(tmp_path)
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.post_processor = TemplateProcessing(single="[UNK] $A", special_tokens=[("[UNK]", 0)])
    tokenizer.save(str(file))
    found = row_tokens(file, [row(i, "ab " * i) for i in range(1, 102)])
    assert len(found) == 21
    assert (found[0], found[10], found[-1]) == (2, 52, 102)
