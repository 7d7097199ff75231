"""The marks that model families put around reasoning and turns, and the words that begin a made-up next task.

A family that is missing is one line here and one in tests/pipelines/tasks/test_marks.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReasoningMarks:
    """Where reasoning begins and ends; ``ReasoningMarks("Kimi-VL", "◁think▷", "◁/think▷")``.

    Patterns are regular expressions, read without case. `alone`: the end counts where no beginning stands before it,
    since a chat template may have written that into the prompt.
    """

    family: str
    begin: str
    end: str
    alone: bool = True


def _tag(name: str) -> tuple[str, str]:
    """Both patterns of an XML tag, which may have a prefix, a suffix and attributes: seed:think, think:a1."""
    return rf"<(?:\w+:)?(?:{name})(?::[^\s<>]+)?(?:\s[^<>]*)?>", rf"</(?:\w+:)?(?:{name})(?::[^\s<>]+)?\s*>"


REASONING = (
    ReasoningMarks(
        "DeepSeek-R1, Qwen3, QwQ, GLM, Kimi K2, Phi-4, Hunyuan; Seed-OSS, MiniMax with a prefix", *_tag("think")
    ),
    ReasoningMarks("Claude, Reflection", *_tag("thinking")),
    ReasoningMarks("Claude's prompts", *_tag("ant_?thinking")),
    ReasoningMarks("EXAONE Deep, Marco-o1", *_tag("thoughts?")),
    ReasoningMarks("GRPO cookbooks, LLaVA-CoT", *_tag("reasoning")),
    ReasoningMarks("Reflection", *_tag("reflection")),
    ReasoningMarks("prompts with a scratchpad", *_tag("scratchpad|inner_thoughts?|inner_monologue|analysis|cot")),
    ReasoningMarks("LongCat", *_tag("longcat_think")),
    ReasoningMarks("Open WebUI", r"<details\s[^<>]*\breasoning\b[^<>]*>", "</details>", alone=False),
    ReasoningMarks("escaped for HTML", "&lt;think(?:ing)?&gt;", "&lt;/think(?:ing)?&gt;"),
    ReasoningMarks("Magistral", r"\[(?:think|thinking|reasoning)\]", r"\[/(?:think|thinking|reasoning)\]"),
    ReasoningMarks("OpenThinker, Sky-T1", r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    ReasoningMarks("Command A Reasoning", r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    ReasoningMarks("Apertus", r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),
    ReasoningMarks("Kimi-VL", "◁think▷", "◁/think▷"),
    ReasoningMarks("Kimi K3", r"<\|open\|>\s*think\s*<\|sep\|>", r"<\|close\|>\s*think\s*<\|sep\|>"),
    ReasoningMarks("Solar Open", r"<\|think(?:ing)?\|>", r"<\|/think(?:ing)?\|>|<\|end\|>", alone=False),
    ReasoningMarks("Gemma 4", r"<\|channel>(?!final)", r"<channel\|>"),
    ReasoningMarks("MedGemma", "<unused94>", "<unused95>"),
    ReasoningMarks(
        "gpt-oss",
        r"(?:<\|start\|>assistant)?<\|channel\|>\s*(?:analysis|commentary)(?:[^<]|<\|constrain\|>)*<\|message\|>",
        r"<\|(?:end|call)\|>|(?=<\|start\|>|<\|channel\|>)",
        alone=False,
    ),
    ReasoningMarks("gpt-oss without its special tokens", r"\Aanalysis(?-i:(?=[A-Z\"'(\d]))", "assistantfinal"),
    ReasoningMarks(
        "Muse", r"(?:<\|start\|>assistant\s*)?to=self<\|message\|>", r"<\|eom\|>|(?=to=\w+<\|message\|>)", alone=False
    ),
    ReasoningMarks("Granite 3.2", r"\A\s*Here(?:'s| is) my thought process:", r"Here(?:'s| is) my response:"),
    ReasoningMarks("Ollama's terminal", r"\A\s*Thinking\.\.\.[ \t]*\n", r"\.\.\.done thinking\."),
)

REPLY_HEADERS = re.compile(  # what stands in front of a reply and is no part of it
    r"<\|start_header_id\|>assistant<\|end_header_id\|>|<\|im_start\|>assistant|<\|[Aa]ssistant\|>|<｜Assistant｜>"
    r"|<start_of_turn>model|<\|turn>model|<\|start\|>assistant(?=<)|<\|channel\|>\s*final(?:[^<]|<\|constrain\|>)*<\|message\|>"
    r"|to=user<\|message\|>|<\|begin\|>assistant|<\|content\|>|<\|CHATBOT_TOKEN\|>|\[\|assistant\|\]"
    r"|<\|im_assistant\|>assistant<\|im_middle\|>|<\|open\|>\s*response\s*<\|sep\|>|<role>ASSISTANT</role>"
    r"|<\|(?:START_RESPONSE|START_TEXT|begin_of_solution)\|>|<extra_id_1>Assistant"
    r"|\A\s*<(?:response|output|solution|final_answer|final)>"
    r"|\A\s*(?:#{1,4} *(?:Response|Assistant|Output) *:|(?:Assistant|ASSISTANT):)"
)
END_OF_TURN = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|eot|eom|endoftext|end_of_text|end|return|call|eod_id|endofturn|assistant_end"
    r"|END_RESPONSE|END_TEXT|END_OF_TURN_TOKEN|end_of_solution|end_of_role|role_end)\|>"
    r"|</s>|<eos>|<end_of_turn>|<turn\|>|<｜end▁of▁sentence｜>|\[\|endofturn\|\]|\[EOS\]"
    r"|<\|close\|>\s*(?:response|message)\s*<\|sep\|>|</(?:response|output|solution|final_answer|final)>\s*\Z"
)
USER_TURN = re.compile(  # in front of a user's turn, wherever it stands
    r"<\|im_start\|>(?:user|system)|<\|start_header_id\|>(?:user|system)|<start_of_turn>user|<\|turn>user"
    r"|<\|start\|>(?:user|system|developer)|<\|(?:user|User|USER_TOKEN|prompter|im_user|start_of_role)\|>|<｜User｜>"
    r"|\[\|user\|\]|(?:<s>\s*)?\[INST\]|<<SYS>>|<extra_id_1>User|<role>HUMAN</role>|<reserved_106>|<_user>"
    r"|<\|begin\|>user|<\|START_OF_TURN_TOKEN\|>"
)


@dataclass(frozen=True, slots=True)
class TaskWords:
    """Words that begin a task, with a colon or a number behind them; ``TaskWords("German", "Frage|Aufgabe")``.

    What is `also` used for steps and cases of one answer begins another task only where an answer has been stated.
    """

    language: str
    certain: str
    also: str = ""


TASK_WORDS = (
    TaskWords(
        "English", "Question|QUESTION|Problem|PROBLEM|Exercise|Puzzle|Query|Q", "Example|EXAMPLE|Task|TASK|Prompt"
    ),
    TaskWords(
        "English, said to be another",
        "(?:Next|New|Another|Follow-?up|Similar|Practice) (?:[Qq]uestion|[Pp]roblem|[Ee]xercise|[Ee]xample|[Tt]ask)",
    ),
    TaskWords("roles of a chat", "Human|HUMAN|human|User|USER|user", "Instructions?|INSTRUCTIONS?|Input|System"),
    TaskWords("Chinese", "问题|問題|题目|題目|例题|例題|练习|用户|用戶|问|問", "例子|示例|指令|例"),
    TaskWords("Japanese", "質問|設問|ユーザー", "例"),
    TaskWords("Korean", "질문|문제|사용자", "예시|예제"),
    TaskWords(
        "Spanish, Portuguese",
        "Pregunta|Pergunta|Problema|Ejercicio|Exercício|Questão|Usuario|Usuário",
        "Ejemplo|Exemplo",
    ),
    TaskWords("French", "Problème|Exercice|Utilisateur", "Exemple"),
    TaskWords("German, Dutch", "Frage|Aufgabe|Benutzer|Nutzer|Vraag|Opgave|Gebruiker", "Beispiel|Voorbeeld"),
    TaskWords("Italian", "Domanda|Esercizio|Utente", "Esempio"),
    TaskWords("Russian", "Вопрос|Задача|Задание|Пользователь", "Пример"),
    TaskWords("Polish, Czech", "Pytanie|Zadanie|Otázka|Úloha", "Przykład"),
    TaskWords("Turkish", "Soru|Kullanıcı", "Örnek"),
    TaskWords("Vietnamese, Indonesian", "Câu hỏi|Bài toán|Người dùng|Pertanyaan|Soal|Pengguna", "Ví dụ|Contoh"),
    TaskWords("Hindi, Bengali", "प्रश्न|सवाल|उपयोगकर्ता|প্রশ্ন", "उदाहरण"),
    TaskWords("Arabic, Persian, Hebrew", "السؤال|سؤال|المستخدم|پرسش|שאלה", "مثال"),
    TaskWords("Thai", "คำถาม|โจทย์|ผู้ใช้", "ตัวอย่าง"),
)

_NUMBER = (
    r"(?:[ \t]*(?:#|[Nn]o\.?|Nr\.?|№)?[ \t]*(?:\d+|[一二三四五六七八九十]+)(?:\.\d+)?"
    r"(?:[ \t]*[(（][^()\n（）]{1,30}[)）])?)"
)


def _task_line(words: str) -> str:
    """A line that begins a task: a word and a colon, or in bold, as a heading or alone with a number."""
    colon, end = r"[ \t]*[*_]{0,3}[ \t]*[:：]", r"[ \t]*[*_]{0,3}[ \t]*[.)\]:：]?[ \t]*[*_]{0,3}[ \t]*(?=\n|\Z)"
    heading = r"(?:#{1,6}[ \t]*[*_]{0,3}|[*_]{2,3}|\[)"
    return (
        rf"\n[ \t]*(?:{heading}|[-*>][ \t]+)?(?:{words}){_NUMBER}?{colon}"
        rf"|\n[ \t]*{heading}(?:{words}){_NUMBER}"
        rf"|\n[ \t]*(?:{words}){_NUMBER}(?:{end}|[.)][ \t])"
    )


CERTAIN_TASK = re.compile(
    _task_line("|".join(row.certain for row in TASK_WORDS))
    + r"|\n[ \t]*#{2,4}[ \t]*(?:Instructions?|Human|User|Input)\b[ \t]*:?[ \t]*(?=\n|\Z)|\n(?:user|human)[ \t]*(?=\n)"
    + r"|\n[ \t]*第[ \t]*(?:\d+|[一二三四五六七八九十]+)[ \t]*[题題問问道]|\n[ \t]*<(?:human|user)>[ \t]*:?"
)
POSSIBLE_TASK = re.compile(_task_line("|".join(row.also for row in TASK_WORDS if row.also)))
STATED = re.compile(
    r"####|\\boxed|</answer>|\banswer\b[*_ \t]*(?:is|=|:)|答案|答え|정답|^[ \t]*A:", re.IGNORECASE | re.MULTILINE
)

_BEGIN = re.compile("|".join(f"(?P<r{place}>{row.begin})" for place, row in enumerate(REASONING)), re.IGNORECASE)
_ENDS = [re.compile(row.end, re.IGNORECASE) for row in REASONING]
_ALONE = re.compile("|".join(row.end for row in REASONING if row.alone), re.IGNORECASE)
# All marks hold one of these characters, but those in words at a completion's head. Most texts hold neither.
MARKED = re.compile(r"[<\[&◁]")
_IN_WORDS = re.compile(
    "|".join(f"{row.begin}|{row.end}" for row in REASONING if row.begin.startswith(r"\A")), re.IGNORECASE
)


def without_reasoning(text: str) -> tuple[list[tuple[int, int]], bool]:
    """The (start, end) of what in `text` is no reasoning, and whether the last reasoning was never ended."""
    if not MARKED.search(text) and not _IN_WORDS.search(text):
        return [(0, len(text))], False
    kept: list[tuple[int, int]] = []
    place, open_ended = 0, False
    while not open_ended and (begin := _BEGIN.search(text, place)):
        kept.append((place, begin.start()))
        end = _ENDS[int(str(begin.lastgroup)[1:])].search(text, begin.end())
        place, open_ended = (end.end(), False) if end else (len(text), True)
    kept.append((place, len(text)))
    alone = max((end.end() for start, stop in kept for end in _ALONE.finditer(text, start, stop)), default=0)
    return [(max(start, alone), stop) for start, stop in kept if stop > alone], open_ended


def next_task(text: str, start: int = 0) -> int | None:
    """Where, after `start`, a made-up next task begins; None if none does. What precedes a `start` is an answer."""
    stated = None if start else STATED.search(text)
    found = [CERTAIN_TASK.search(text, start), USER_TURN.search(text, start)]
    if start or stated:
        found.append(POSSIBLE_TASK.search(text, stated.end() if stated else start))
    return min((match.start() for match in found if match), default=None)
