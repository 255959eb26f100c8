"""Study sets are kept with what was answered, and their items are due again by SM-2."""

from __future__ import annotations

import json
import random
import time
from datetime import datetime, timedelta
from datetime import time as dtime
from functools import partial
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import ipywidgets
import msgspec
import pytest

from rsql_magic.answers.study.schedule import DAY, KNOWN, NOT_YET, CardProgress, StudyProgress
from rsql_magic.answers.study.sheet import Card, Choice, Code, Exercise, Point, Sheet, sheet_of
from rsql_magic.answers.study.widgets import Cards, Quiz, exam
from rsql_magic.errors import BadInput
from rsql_magic.notebook import loaded
from rsql_magic.panel import StudySets
from rsql_magic.panel.kept.artifacts import NewArtifact
from rsql_magic.panel.threads import MessagePair

pytestmark = pytest.mark.usefixtures("without_r")

CARDS = Sheet("flashcards", "Means", tuple(Card(f"front {n}", f"back {n}") for n in range(3)))


def wozniak(qualities):
    """SM-2 as its author wrote it down: the interval after each answer."""
    ease, n, interval, found = 2.5, 0, 0, []
    for q in qualities:
        if q < 3:
            n, interval = 0, 1
        else:
            n += 1
            interval = 1 if n == 1 else 6 if n == 2 else round(interval * ease)
            ease = max(1.3, ease + (0.1 - (5 - q) * (0.08 + (5 - q) * 0.02)))
        found.append(interval)
    return found


def test_the_schedule_is_sm_2():
    dice = random.Random(2)
    for _ in range(200):
        qualities = [dice.randrange(6) for _ in range(8)]
        one, days = CardProgress(), []
        for n, quality in enumerate(qualities):
            one = one.answered(quality, n * DAY)
            days.append(one.days)
            assert one.due == (n + one.days) * DAY
        assert days == wozniak(qualities)
        assert (one.answers, one.right) == (8, sum(quality >= 3 for quality in qualities))
        assert one.ease >= 1.3
    with pytest.raises(ValueError, match="0 to 5"):
        CardProgress().answered(6, 0.0)
    always = CardProgress()
    for _ in range(100):
        always = always.answered(5, 0.0)
    assert always.days == 3_650


def test_cards_that_are_due_come_first_and_a_click_says_when_they_come_again():
    now, saved = [0.0], []
    progress = StudyProgress(save=lambda item, state: saved.append((item, state.days)), clock=lambda: now[0])
    cards = Cards(CARDS, progress)
    cards.flip.click()
    cards.know.click()
    assert cards.where.value == "2 of 3, 1 known; the last one again tomorrow"
    cards.flip.click()
    cards.not_yet.click()
    assert saved == [(0, 1), (1, 1)]
    now[0] = 3600.0
    assert (progress.order(3), progress.due(3)) == ([2, 0, 1], 1)
    assert Cards(CARDS, progress).face.value == "<p>front 2</p>"
    now[0] = 2 * DAY
    assert progress.due(3) == 3
    again = Cards(CARDS, progress)
    for _ in range(2):
        again.flip.click()
        again.know.click()
    assert again.where.value.endswith("the last one again in 6 days")


def test_a_second_click_says_nothing_of_the_next_card():
    progress = StudyProgress(clock=lambda: 0.0)
    cards = Cards(CARDS, progress)
    for button in (cards.know, cards.not_yet):
        cards.flip.click()
        button.click()
        button.click()
        assert "flip it first" in cards.where.value
    assert [progress.of(n).answers for n in range(3)] == [1, 1, 0]


QUESTIONS = Sheet(
    "quiz",
    "T",
    (Choice("1+1?", ["2", "3"], 0, "sum"), Choice("2+2?", ["2", "4"], 1, "sum"), Choice("?", ["x", "y"], 1, "so")),
)


def noted(progress):
    return [(progress.of(n).answers, progress.of(n).right, progress.of(n).last) for n in range(3)]


def test_a_quiz_notes_each_answer_once_and_none_that_was_not_given():
    now, progress = [0.0], StudyProgress(clock=lambda: now[0])
    progress.answer(1, KNOWN)
    now[0] = 2 * DAY
    quiz = Quiz(QUESTIONS, progress)
    assert quiz._order == [0, 2, 1]
    quiz.choices[0].value = 0
    quiz.check.click()
    quiz.check.click()
    assert noted(progress) == [(1, 1, "a"), (1, 1, ""), (0, 0, "")]
    assert quiz.score.value == "1 of 3 right, 2 not answered"
    quiz.choices[1].value = 1  # of the last item, whose answer is in sight
    quiz.check.click()
    assert noted(progress) == [(1, 1, "a"), (1, 1, ""), (0, 0, "")]
    quiz.choices[0].value = 1
    quiz.check.click()
    assert noted(progress)[0] == (2, 1, "b")


def names(widget):
    """What a screen reader says of the controls of a widget."""
    is_control = isinstance(widget, ipywidgets.Button | ipywidgets.RadioButtons | ipywidgets.Textarea)
    own = [f"{widget.description} {getattr(widget, 'tooltip', None) or ''}".strip()] if is_control else []
    return own + [name for child in getattr(widget, "children", ()) for name in names(child)]


def test_each_control_has_a_name_that_no_other_has():
    two = Exercise("Add.", 2, "Use +.")
    for widget in (Quiz(QUESTIONS, StudyProgress()).box, exam(Sheet("exam", "T", (two, two)), StudyProgress())):
        said = names(widget)
        assert len(said) > 3
        assert "" not in said
        assert len(set(said)) == len(said)
        titles = [title for child in widget.children for title in getattr(child, "titles", ())]
        assert len(set(titles)) == len(titles)


def test_what_is_not_kept_of_an_answer_is_said():
    progress = StudyProgress(save=lambda *_: "the set was deleted", clock=lambda: 0.0)
    said = "again tomorrow, but this is not kept: the set was deleted"
    assert progress.answer(0, KNOWN) == said
    cards = Cards(CARDS, progress)
    cards.flip.click()
    cards.know.click()
    assert cards.where.value.endswith(said)
    quiz = Quiz(QUESTIONS, progress)
    quiz.choices[0].value = 0
    quiz.check.click()
    assert quiz.score.value.endswith("; this is not kept: the set was deleted")
    row = exam(Sheet("exam", "T", (Exercise("Add.", 2, "Use +."),)), progress).children[4]
    row.children[0].click()
    assert row.children[2].value == said


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "America/Santiago"]


@pytest.fixture
def clock_of(monkeypatch):
    """Sets the clock of this machine to a time zone."""

    def set_to(zone):
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield set_to
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("zone", ZONES)
def test_an_item_is_due_from_the_midnight_of_its_day_on(zone, clock_of):
    """Whatever the hour it was answered at, also on the days on which clocks are changed."""
    clock_of(zone)
    dice, begun, now = random.Random(zone), datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)), [0.0]
    for _ in range(400):
        answered = begun + timedelta(days=dice.randrange(730), minutes=dice.randrange(24 * 60))
        progress = StudyProgress(clock=lambda: now[0])
        now[0] = answered.timestamp()
        answered = datetime.fromtimestamp(now[0], ZoneInfo(zone))
        days = 1
        for _ in range(dice.randrange(1, 4)):
            assert progress.is_due(0)
            said = progress.answer(0, KNOWN)
            days = progress.of(0).days
            assert said == ("again tomorrow" if days == 1 else f"again in {days} days")
            assert not progress.is_due(0)
            day = answered.date() + timedelta(days=days)
            assert progress.when(1) == f"the next is due on {day}"
            midnight = datetime.combine(day, dtime(), ZoneInfo(zone))
            now[0] = midnight.timestamp() - 60
            assert not progress.is_due(0), (answered, days)
            now[0] = midnight.timestamp() + 60
            assert progress.when(1) == "1 due now", (answered, days)
            answered = midnight + timedelta(hours=dice.randrange(24))
            now[0] = answered.timestamp()
            answered = datetime.fromtimestamp(now[0], ZoneInfo(zone))


def test_an_exam_keeps_what_was_written_and_how_one_judged_it():
    progress = StudyProgress(clock=lambda: 0.0)
    sheet = Sheet("exam", "T", (Exercise("Add.", 2, "Use +."),))
    rows = exam(sheet, progress).children
    rows[2].value = "I would add"
    assert (progress.of(0).last, progress.of(0).answers) == ("I would add", 0)
    rows[4].children[0].click()
    assert (progress.of(0).days, progress.of(0).last, rows[4].children[2].value) == (1, "I would add", "again tomorrow")
    assert exam(sheet, progress).children[2].value == "I would add"


@pytest.mark.parametrize(
    "sheet",
    [
        CARDS,
        Sheet("quiz", "T", (Choice("q", ["a", "b"], 1, "e"),)),
        Sheet("exam", "T", (Exercise("t", 2, "s"),)),
        Sheet("summary", "T", (Point("h", "t"),)),
    ],
)
def test_a_sheet_is_read_as_it_was_kept(sheet):
    assert sheet_of(msgspec.json.encode(sheet)) == sheet


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b'{"kind": "quiz", "title": "", "items": [{}]}', b"\xff", b'{"kind": "x"}'),
        b'{"kind": "flashcards", "title": "none", "items": []}',
        msgspec.json.encode(Sheet("quiz", "T", (Choice("q", ["a", "b"], 2, "e"),))),
        msgspec.json.encode(Sheet("quiz", "T", (Choice("q", ["a", "b"], -1, "e"),))),
        msgspec.json.encode(Sheet("flashcards", "T", (Card("f", "b"),) * 31)),
        msgspec.json.encode(Sheet("flashcards", "T", (Card("f", " "),))),
    ],
)
def test_what_is_no_sheet_says_so(body):
    with pytest.raises(BadInput, match="no study set"):
        sheet_of(body)


def test_a_set_is_kept_with_its_progress_and_practised_again(ip, gateway, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("RSQL_CONVERSATIONS", "on")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    gateway.replies = [
        json.dumps({"title": "Secret means", "items": [{"front": f"front {n}", "back": f"back {n}"} for n in range(3)]})
    ]
    ip.run("%rsql study")
    assert "no study sets" in capsys.readouterr().out
    ip.run("%ask --as flashcards means")
    conversations = loaded(ip).conversations
    [kept] = StudySets(conversations.keeper).all()
    assert (kept.sheet.title, kept.progress.due(3)) == ("Secret means", 3)
    kept.progress.answer(1, KNOWN)
    kept.progress.answer(2, NOT_YET)
    [again] = StudySets(conversations.keeper).all()
    assert [again.progress.of(n).answers for n in range(3)] == [0, 1, 1]
    assert again.progress.due(3) == 1
    capsys.readouterr()
    ip.run("%rsql study")
    listed = capsys.readouterr().out
    assert "Secret means" in listed
    assert "1 of 2" in listed
    ip.run(f"%rsql study {kept.file.id[:4]}")
    assert "back 2" in capsys.readouterr().out
    with pytest.raises(BadInput, match="no study set zzz"):
        ip.run("%rsql study zzz")
    conversations.keeper.store.rows("PRAGMA wal_checkpoint(FULL)")
    assert all(b"Secret means" not in file.read_bytes() for file in (tmp_path / "rsql").iterdir())
    conversations.forget()
    assert conversations.keeper.store.rows("SELECT count(*) FROM progress") == [(0,)]
    kept.progress.answer(0, KNOWN)  # a set that is gone can still be looked at
    assert StudySets(conversations.keeper).all() == []
    conversations.close()


SHEETS = {
    "cards": CARDS,
    "quiz": Sheet("quiz", "Sums", (Choice("1+1?", ["one", "two"], 1, "by counting"),)),
    "exam": Sheet("exam", "Adding", (Exercise("Add 1 and 1.", 2, "Use +.", Code("python", "1 + 1", "2")),)),
}
ANSWERS = ("back 0", "back 1", "back 2", "by counting", "Use +.")


@pytest.fixture
def talk(kernels, monkeypatch):
    """A panel whose conversation has made a study set of each kind; its magics are those of the shell."""
    talk = kernels()
    thread, keeper = talk.panel.threads.find(talk.thread), talk.panel.threads.keeper
    thread.pairs.append(pair := MessagePair("q", "a", "done"))
    made = [
        NewArtifact(name, pair.id, "study", f"{name}.json", "application/json", partial(msgspec.json.encode, sheet))
        for name, sheet in SHEETS.items()
    ]
    keeper.changed(thread, pair, made=lambda: made)
    monkeypatch.setattr("rsql_magic.notebook.loaded", lambda _: SimpleNamespace(conversations=talk.panel.threads))
    return talk


@pytest.mark.parametrize("name", SHEETS)
def test_what_puts_a_set_into_the_notebook_practises_it(talk, shell, monkeypatch, capsys, name):
    files = talk.do("files", thread=talk.thread)["files"]
    [dragged] = [one["code"] for one in files if one["id"] == name]
    [inserted] = talk.do("insertion", file=name)["cells"]
    assert inserted == {"kind": "code", "source": dragged}
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    value = shell.run(dragged)
    said = capsys.readouterr().out
    assert "### Answers" in said, "in a terminal its text"
    assert "Sheet(" not in said
    shell.kernel = SimpleNamespace(_allow_stdin=True)
    shown, _ = shell.display_formatter.format(value)
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert not [answer for answer in ANSWERS if answer in str(shown)]
    monkeypatch.setenv("RSQL_BATCH", "1")
    shown, _ = shell.display_formatter.format(value)
    assert shown["text/markdown"].count("Answers") == 1
    assert "application/vnd.jupyter.widget-view+json" not in shown


def test_an_opened_set_hides_its_answers_and_takes_ones_word(talk):
    def opened(name):
        talk.panel.threads.keeper.flush(1.0)
        return talk.do("load", file=name)["study"]

    told = opened("cards")
    assert told["stands"] == "0 of 3 known, 3 due now"
    assert [(one["question"], one["answer"], one["due"]) for one in told["items"]] == [
        (f"front {n}", f"back {n}", True) for n in range(3)
    ]
    said = talk.do("judge", file="cards", item=0, known=True)
    assert (said["said"], said["stands"]) == ("again tomorrow", "1 of 3 known, 2 due now")
    talk.do("judge", file="cards", item=1, known=False)
    talk.do("judge", file="cards", item=2, known=True)
    told = opened("cards")
    tomorrow = time.strftime("%Y-%m-%d", time.localtime(time.time() + DAY))
    assert told["stands"] == f"2 of 3 known, the next is due on {tomorrow}"
    assert [one["item"] for one in told["items"] if one["due"]] == []
    [kept] = [one for one in StudySets(talk.panel.threads.keeper).all() if one.file.id == "cards"]
    assert [kept.progress.of(n).right for n in range(3)] == [1, 0, 1]
    assert "a) one" in opened("quiz")["items"][0]["question"]
    assert opened("quiz")["items"][0]["answer"] == "b) two: by counting"
    assert "```python" in opened("exam")["items"][0]["answer"]
    for odd in (-1, 3, "x", None):
        assert "no item" in talk.do("judge", file="cards", item=odd, known=True)["error"]["message"]
    assert "gone" in talk.do("judge", file="nothing", item=0, known=True)["error"]["message"]


def test_two_views_of_a_set_do_not_undo_each_other(talk):
    sets = StudySets(talk.panel.threads.keeper)
    sets.all()
    one, other = sets.progress("exam"), sets.progress("exam")
    one.answer(0, KNOWN)
    other.write(0, "I would add")
    now = sets.progress("exam").of(0)
    assert (now.last, now.right, now.due) == ("I would add", 1, one.of(0).due)


def rows_of(talk, sql, *given):
    with talk.panel.threads.keeper.store.transaction() as db:
        return db.execute(sql, given).fetchall()


def test_an_answer_that_cannot_be_read_leaves_the_others(talk):
    sets = StudySets(talk.panel.threads.keeper)
    sets.all()
    for item in range(3):
        sets.progress("cards").answer(item, KNOWN)
    seal, newer = talk.panel.threads.keeper.store.seal, {"repetitions": 2, "streak_of_a_later_version": 7}
    rows_of(talk, "UPDATE progress SET body = ? WHERE item = 0", b"damaged")
    rows_of(
        talk, "UPDATE progress SET body = ? WHERE item = 1", seal.seal(msgspec.json.encode(newer), "progress cards 1")
    )
    now = sets.progress("cards")
    assert [now.of(n).repetitions for n in range(3)] == [0, 2, 1]
    assert {kept.file.id for kept in sets.all()} == set(SHEETS)
    assert "again" in now.answer(0, KNOWN)


def test_a_set_that_is_deleted_while_it_is_practised_says_so(talk):
    sets = StudySets(talk.panel.threads.keeper)
    sets.all()
    cards = Cards(CARDS, sets.progress("cards"))
    cards.flip.click()
    cards.know.click()
    talk.do("drop", file="cards")
    cards.flip.click()
    cards.know.click()
    assert cards.where.value.endswith("again tomorrow, but this is not kept: its set was deleted")
    assert rows_of(talk, "SELECT * FROM progress") == []


def test_a_full_disk_is_said_where_a_set_is_practised(talk, monkeypatch):
    sets = StudySets(talk.panel.threads.keeper)
    sets.all()
    progress = sets.progress("cards")

    def full():
        raise BadInput("The disk is full: what is said is not kept.", hint="Make room; it goes on by itself.")

    monkeypatch.setattr(talk.panel.threads.keeper.store, "transaction", full)
    assert progress.answer(0, KNOWN).startswith("again tomorrow, but this is not kept: The disk is full")
    monkeypatch.undo()
    assert progress.answer(0, KNOWN) == "again tomorrow"
    assert sets.progress("cards").of(0).answers == 2


def test_a_set_that_is_practised_outlives_its_days_and_its_conversation_too(talk):
    keeper = talk.panel.threads.keeper
    sets = StudySets(keeper)
    sets.all()
    sets.progress("cards").answer(0, KNOWN)
    old = keeper.store.now() - 400 * DAY
    rows_of(talk, "UPDATE artifact SET made = ?", old)
    keeper.artifacts.expire(90)
    assert [kept.file.id for kept in sets.all()] == ["cards"]
    new = NewArtifact("new", "p", "script", "new.py", "text/x-python", lambda: bytes(1_000))
    assert keeper.artifacts.put(keeper.id_of(talk.panel.threads.of_cells), new, 1_010) != ""
    assert [kept.file.id for kept in sets.all()] == ["cards"]
    rows_of(talk, "UPDATE conversation SET changed = ?", old)
    sets.progress("cards").answer(1, KNOWN)
    keeper.store.expire(365)
    assert [kept.file.id for kept in sets.all()] == ["cards"]
    rows_of(talk, "UPDATE conversation SET changed = ?", old)
    keeper.store.expire(365)
    assert sets.all() == []


def test_a_right_answer_before_its_time_leaves_its_day():
    now = [0.0]
    progress = StudyProgress(clock=lambda: now[0])
    for _ in range(5):
        assert progress.answer(0, KNOWN) == "again tomorrow"
    assert (progress.of(0).days, progress.of(0).due, progress.of(0).answers) == (1, DAY, 5)
    progress.answer(1, NOT_YET)
    progress.answer(1, KNOWN)
    now[0] = DAY
    assert [progress.answer(n, KNOWN) for n in (0, 1)] == ["again in 6 days"] * 2
    now[0] = 2 * DAY
    assert progress.answer(0, KNOWN) == "again in 5 days"
    assert progress.answer(0, NOT_YET) == "again tomorrow"


def test_a_panel_that_is_open_hears_the_first_question_of_a_cell(shell, client, monkeypatch, gateway):
    from rsql_magic.assistant import Assistant
    from rsql_magic.notebook import load

    monkeypatch.setattr("rsql_magic.assistant.Assistant", lambda *_, **__: Assistant(client=client, environ={}))
    load(shell)
    magics = loaded(shell)
    panel = magics.panel()
    gateway.replies = ["An answer."]
    shell.run("%ask First?")
    assert [pair.question for pair in panel.threads.of_cells.pairs] == ["First?"]
    panel.close()
    magics.close()
