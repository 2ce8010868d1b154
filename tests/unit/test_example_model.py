"""The example's classifier: how good it is, that it repeats itself, and what it does with bad files."""

from __future__ import annotations

from pathlib import Path

import pytest
from nltk.classify.naivebayes import NaiveBayesClassifier

from incident_detection.keywords import Keywords
from incident_detection.labelled import DataError, Labelled, read_labelled, read_texts
from incident_detection.model import Model, ModelError
from incident_detection.score import Score, split
from incident_detection.train import evaluate, main
from incident_detection.words import words

TWEETS = Path(__file__).parents[3] / "shared" / "data" / "tweets_train.csv"


@pytest.fixture(scope="module")
def corpus() -> list[Labelled]:
    return read_labelled()


@pytest.fixture(scope="module")
def model(corpus: list[Labelled]) -> Model:
    return Model.train(corpus)


def test_the_corpus_teaches_to_judge_messages_it_does_not_contain(corpus: list[Labelled]) -> None:
    """Lost: a demo whose verdicts make sense."""
    scores = [evaluate(corpus, seed=seed).f1 for seed in range(5)]
    assert sum(scores) / len(scores) > 0.85


def test_the_corpus_is_varied_and_balanced(corpus: list[Labelled]) -> None:
    """Lost: figurative use told from the real thing; a corpus of one kind teaches nothing."""
    assert 200 <= len(corpus) <= 300
    assert 0.4 < sum(example.incident for example in corpus) / len(corpus) < 0.6
    assert len({example.text.lower() for example in corpus}) == len(corpus)
    figurative = {example.keyword for example in corpus if not example.incident}
    assert {"fire", "flood", "storm", "crash", "bomb"} <= figurative


@pytest.mark.parametrize(
    ("text", "incident", "keyword"),
    [
        ("House fire in Park Street, two people in hospital", True, "fire"),
        ("#FlashFlood in the valley, roads under water and people missing", True, "flash flood"),
        ("Strong EARTHQUAKE, walls cracked, people are outside", True, "earthquake"),
        ("this song is fire, love it", False, None),
        ("Drowning in homework, send coffee and cake", False, None),
        ("What a lovely sunset tonight", False, None),
    ],
)
def test_verdicts(model: Model, text: str, *, incident: bool, keyword: str | None) -> None:
    """Lost: the difference between "house on fire" and "song is fire", and the name of what happened."""
    verdict = model.judge(text)
    assert (verdict.incident, verdict.keyword) == (incident, keyword)
    assert (verdict.score >= 0.5) == incident


def test_real_tweets_are_judged_as_well_as_this_kind_of_classifier_can() -> None:
    """Lost: quality on real messages, unnoticed. Mean of three splits; one alone swings by 0.02."""
    if not TWEETS.exists():
        pytest.skip(f"the tweets are not part of the project and not at {TWEETS}")
    tweets = read_labelled(TWEETS)
    scores = [evaluate(tweets, seed=seed).f1 for seed in range(3)]
    assert sum(scores) / len(scores) > 0.73


def test_a_saved_model_judges_as_the_trained_one(model: Model, corpus: list[Labelled], tmp_path: Path) -> None:
    """Lost: devices that judge as the training figures promise."""
    path = tmp_path / "model.json"
    model.save(path)
    loaded = Model.load(path)
    for example in corpus:
        assert loaded.judge(example.text) == model.judge(example.text)


def test_training_again_gives_the_same_bytes(corpus: list[Labelled], tmp_path: Path) -> None:
    """Lost: one artifact checksum for one state of the code; every set-up would ship a new release."""
    for name, examples in (("one", corpus), ("two", list(reversed(corpus)))):
        Model.train(examples).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_model_is_the_librarys_naive_bayes(model: Model, corpus: list[Labelled]) -> None:
    """Lost: the library's well-tried probabilities; rebuilt from counts, they must be the same."""
    reference = NaiveBayesClassifier.train(
        (dict.fromkeys(words(example.text), True), example.incident) for example in corpus
    )
    for example in corpus[::7]:
        expected = reference.prob_classify(dict.fromkeys(words(example.text), True)).prob(True)
        assert model.judge(example.text).score == pytest.approx(expected)


def test_words_are_brought_to_one_form() -> None:
    """Lost: that "#ForestFires!" and "forest fire" count as the same words, and that links do not count."""
    assert words("#ForestFires! http://t.co/x 12:30 @joe &amp; rain's") == [
        "forest", "fire", "<url>", "<num>", "<user>", "rain",
    ]  # fmt: skip


def test_the_longest_then_the_surest_keyword_is_named() -> None:
    """Lost: "forest fire" reported as such, "bomb" not reported as "wind"."""
    keywords = Keywords({"fire": (5, 6), "forest fire": (1, 2), "wind": (2, 9), "bomb": (8, 9)})
    assert keywords.find(words("the forest fires spread with the wind")) == "forest fire"
    assert keywords.find(words("wind, then a bomb")) == "bomb"
    assert keywords.find(words("a quiet day")) is None
    assert Keywords({}).find(words("fire")) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        '{"format":2,"messages":[1,1],"words":{},"keywords":{}}',
        '{"format":1,"messages":[0,1],"words":{},"keywords":{}}',
        '{"format":1,"messages":[1,1],"words":{"a":[1]},"keywords":{}}',
        '{"format":1,"messages":[1,1],"words":{"a":[-1,0]},"keywords":{}}',
        '{"format":1,"messages":[1,1],"words":{"a":["1",0]},"keywords":{}}',
        '{"format":1,"messages":[1,1],"words":[],"keywords":{}}',
    ],
)
def test_a_broken_model_is_refused_with_the_mend(content: str, tmp_path: Path) -> None:
    """Lost: a service that fails at its start, rather than one that judges wrongly."""
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"incident_detection\.train"):
        Model.load(path)


def test_a_missing_model_is_named_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model at .*none.json; make one with: python -m"):
        Model.load(tmp_path / "none.json")


def test_messages_with_the_same_words_are_never_on_both_sides() -> None:
    """Lost: honest figures; a retweet in the held-out part has been learned by heart."""
    examples = [Labelled(f"Fire number {n % 10} {'ab' * (n % 7)} http://t.co/{n}", incident=True) for n in range(100)]
    kept, held = split(examples, holdout=0.3, seed=1)
    assert len(kept) + len(held) == 100
    assert kept
    assert held
    assert not {tuple(words(e.text)) for e in kept} & {tuple(words(e.text)) for e in held}


def test_scores_by_hand() -> None:
    assert Score.of([(True, True), (True, False), (False, True), (False, False)]) == Score(0.5, 0.5, 0.5, 0.5)
    assert Score.of([(True, True), (True, True), (False, True)]).f1 == pytest.approx(0.8)
    assert Score.of([(False, False)]) == Score(1.0, 0.0, 0.0, 0.0)
    assert Score.of([]) == Score(0.0, 0.0, 0.0, 0.0)


def test_the_command_prints_the_figures_and_writes_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: training on one's own messages by one command."""
    path = tmp_path / "model.json"
    assert main(["--model", str(path), "--holdout", "0.3", "--seed", "4"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("accuracy", "precision", "recall", "F1", str(path)))
    assert Model.load(path).judge("fire").keyword == "fire"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a,b\n1,2\n", "no column text and target"),
        ("text,target\n", "no messages"),
        ("text,target\nfire,1\nsun,yes\n", "line 3: target is 'yes'"),
        ("text,target\nfire,1\n", "both kinds"),
    ],
)
def test_unusable_training_data_is_explained(
    content: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost: the line to mend, instead of a traceback."""
    path = tmp_path / "data.csv"
    path.write_text(content)
    assert main(["--csv", str(path), "--model", str(tmp_path / "model.json"), "--holdout", "0"]) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "model.json").exists()


def test_keywords_of_public_data_sets_are_read(tmp_path: Path) -> None:
    """Lost: "body%20bags" understood as two words, as the public tweet data set writes it."""
    path = tmp_path / "data.csv"
    path.write_text("text,target,keyword\nx,1,body%20bags\ny,0,\n")
    assert [example.keyword for example in read_labelled(path)] == ["body bags", ""]


def test_texts_alone_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('id,text\n1," a, b"\n2,\n')
    assert read_texts(path) == ["a, b"]
    with pytest.raises(DataError, match="nowhere"):
        read_texts(tmp_path / "nowhere.csv")
