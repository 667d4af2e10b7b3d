"""Writes the conversations that the model learns from. Nothing here needs PyTorch.

Every reply is a function of its prompt, so that a reply is either right or wrong. Arithmetic is
worked in columns, least significant first, with the place named at the start of each line: a line
depends on two digits and the line before it, which a small model can learn without an error.
"""

import json
import random
import re
from decimal import Decimal

PLACES = ["Hundredths", "Tenths", "Ones", "Tens", "Hundreds", "Thousands"]
ONES = 2  # index of "Ones" in PLACES
MAX_INTEGER_DIGITS = 4
MAX_DECIMALS = 2

HELLO = (
    "Hello! I am Abacus, the small model built into llmcore. I can do small sums, compare numbers, "
    "count and spell. Try 1.1+2.3=?"
)
IDENTITY = "I am Abacus, the small model built into llmcore. I do small sums, compare numbers, count and spell."
ABILITIES = (
    "I can add and subtract two numbers, compare them, count, and spell words. "
    "Try 12.5 - 3.7, or ask how many letters are in a word."
)
NOT_ANOTHER = "No. I am Abacus, the small model built into llmcore."
LIBRARY = (
    "llmcore is a library that runs language models inside other programs. I am the small model built into it."
)
ORIGIN = "I was trained by the scripts in the llmcore repository, on text that they generate."
SIZE = "I am very small: less than a million weights. Larger models run in llmcore too."
FINE = "I am fine, thank you. What shall I work out?"
WELCOME = "You are welcome."
GOODBYE = "Goodbye!"
OFFER = "Yes. Ask me a sum, a comparison, something to count, or a word to spell."
CANNOT = (
    "I cannot help with that. I am a very small model: I can add and subtract, compare numbers, count and spell."
)
NO_PRODUCTS = "I cannot multiply or divide. I can add and subtract two numbers."
TOO_LONG = "Those numbers are too long for me. I can take four digits before the point and two after it."
TWO_ONLY = "I can take only two numbers at a time."
NO_NEGATIVES = "I cannot start from a negative number. I can add and subtract numbers from 0 up."

WORDS = """
apple banana cherry orange lemon grape peach plum pear strawberry blueberry raspberry melon mango tomato
potato carrot onion pepper garlic bread butter cheese honey sugar coffee water juice milk rice soup salad
cat dog fish bird horse mouse tiger lion zebra giraffe elephant monkey rabbit turtle snake spider whale
dolphin eagle parrot penguin kangaroo camel sheep goat chicken duck goose frog bear wolf fox deer
red green blue yellow purple black white brown silver gold table chair house window door kitchen garden
street city village river mountain forest island ocean desert valley bridge castle church school library
book paper pencil letter number word sentence story picture music song piano guitar violin drum trumpet
computer keyboard screen program memory cache token model tensor kernel thread vector matrix engine session
train plane car bicycle boat ship rocket planet star moon sun earth mars venus jupiter saturn comet galaxy
spring summer autumn winter monday tuesday wednesday thursday friday saturday sunday january february march
april june july august september october november december morning evening night yesterday tomorrow today
mother father sister brother uncle aunt cousin friend doctor teacher farmer baker sailor soldier king queen
happy angry hungry thirsty sleepy gentle clever honest simple little large small quick slow bright dark
mississippi bookkeeper balloon committee tennessee address success coffee letter bottle hammer ladder pillow
hello world please thanks answer question reason example language library science history nature energy
rhythm queue pneumonia necessary beautiful chocolate crocodile umbrella telephone television parliament
""".split()

ITEMS = [w for w in WORDS if len(w) <= 7]
COUNTRIES = "France Spain Italy Germany Japan China India Brazil Canada Egypt Kenya Peru Norway Greece".split()
TOPICS = (
    "the sea,love,autumn,a robot,the moon,cats,history,physics,music,football,the stock market,black holes,"
    "photosynthesis,quantum mechanics,democracy,cooking,the weather,my cat,a dragon,winter,computers"
).split(",")
NOUNS = [w for w in WORDS if len(w) >= 4]

SYSTEMS = [
    "You are a helpful assistant.",
    "You are Abacus.",
    "You are a calculator.",
    "Be brief.",
    "Answer the question.",
    "You are a careful assistant. Work step by step.",
    "You are an AI assistant. Be concise and honest.",
    "Think before you answer.",
    "You help children to learn.",
    "Always reply in English.",
]

ADD = (
    "{a}+{b}=?|{a}+{b}=?|{a}+{b}|{a} + {b}|{a}+{b}=|{a} + {b} =|{a} + {b} = ?|{a} + {b}?|"
    "What is {a} + {b}?|What is {a}+{b}?|What's {a} + {b}?|What is {a} plus {b}?|{a} plus {b}|"
    "Compute {a} + {b}|Compute {a}+{b}|Calculate {a} + {b}|Calculate {a}+{b}|Add {a} and {b}|Add {a} to {b}|"
    "How much is {a} + {b}?|How much is {a} plus {b}?|What is the sum of {a} and {b}?|Find the sum of {a} and {b}|"
    "Please add {a} and {b}|Can you add {a} and {b}?|Solve {a} + {b}|Work out {a} + {b}|Tell me {a} + {b}|"
    "What do you get if you add {a} and {b}?|Can you compute {a} + {b}?|{a} and {b} together|sum {a} {b}"
).split("|")
SUB = (
    "{a}-{b}=?|{a}-{b}=?|{a}-{b}|{a} - {b}|{a}-{b}=|{a} - {b} =|{a} - {b} = ?|{a} - {b}?|"
    "What is {a} - {b}?|What is {a}-{b}?|What's {a} - {b}?|What is {a} minus {b}?|{a} minus {b}|"
    "Compute {a} - {b}|Compute {a}-{b}|Calculate {a} - {b}|Calculate {a}-{b}|Subtract {b} from {a}|"
    "Take {b} from {a}|Take {b} away from {a}|How much is {a} - {b}?|How much is {a} minus {b}?|"
    "Please subtract {b} from {a}|Can you subtract {b} from {a}?|Solve {a} - {b}|Work out {a} - {b}|"
    "Tell me {a} - {b}|What do you get if you subtract {b} from {a}?|Can you compute {a} - {b}?|{a} take away {b}|"
    "{a} \u2212 {b}"
).split("|")
ADD_STORIES = (
    "I have {a} {n}s and get {b} more. How many do I have?|There are {a} {n}s and {b} more come. How many are there?|"
    "Tom has {a} {n}s and Ann has {b}. How many together?|I walk {a} km and then {b} km. How far is that?"
).split("|")
SUB_STORIES = (
    "I have {a} {n}s and give away {b}. How many are left?|There are {a} {n}s and {b} go away. How many are left?|"
    "I had {a} euros and spent {b}. How much is left?|Tom has {a} {n}s and loses {b}. How many has he?"
).split("|")
ADD_MORE = (
    "Add {b} to that|Now add {b}|And plus {b}?|Plus {b}|Add {b}|Add {b} more|and {b} more?|now plus {b}|add {b} to it"
).split("|")
SUB_MORE = (
    "Subtract {b} from that|Now subtract {b}|And minus {b}?|Minus {b}|Take away {b}|now minus {b}|subtract {b}"
).split("|")
LARGER = (
    "Which is larger, {a} or {b}?|Which is bigger, {a} or {b}?|Which is greater, {a} or {b}?|"
    "Which is larger: {a} or {b}?|Which number is larger, {a} or {b}?|What is larger, {a} or {b}?|"
    "Which is more, {a} or {b}?|Compare {a} and {b}|Which is bigger: {a} or {b}?|larger: {a} or {b}|"
    "What is the larger of {a} and {b}?|Which one is bigger, {a} or {b}?|{a} or {b}, which is larger?"
).split("|")
SMALLER = (
    "Which is smaller, {a} or {b}?|Which is less, {a} or {b}?|Which is smaller: {a} or {b}?|"
    "Which number is smaller, {a} or {b}?|What is the smaller of {a} and {b}?|smaller: {a} or {b}"
).split("|")
IS_LARGER = (
    "Is {a} larger than {b}?|Is {a} greater than {b}?|Is {a} bigger than {b}?|Is {a} more than {b}?|{a} > {b}?|"
    "Is {a} > {b}?"
).split("|")
IS_SMALLER = "Is {a} smaller than {b}?|Is {a} less than {b}?|{a} < {b}?|Is {a} < {b}?".split("|")
COUNT_TO = "Count to {b}|Count up to {b}|Please count to {b}|Can you count to {b}?|Count from 1 to {b}".split("|")
COUNT_RANGE = "Count from {a} to {b}|Count from {a} up to {b}|Please count from {a} to {b}|Numbers from {a} to {b}".split("|")
COUNT_DOWN = "Count down from {b}|Count backwards from {b}|Count down from {b} to 1".split("|")
COUNT_ITEMS = (
    "How many items: {x}?|How many words: {x}?|Count these: {x}|Count: {x}|How many are there: {x}?|"
    "How many things are in this list: {x}?|How many items are there: {x}|Count the words: {x}"
).split("|")
COUNT_LETTERS = (
    "How many letters are in {q}?|How many letters are in the word {q}?|How many letters in {q}?|"
    "How many letters does {q} have?|Count the letters in {q}|Count the letters of {q}|How long is the word {q}?"
).split("|")
COUNT_LETTER = (
    "How many {c}'s are in {q}?|How many {c}s are in {q}?|How many {c} in {q}?|How many {c}'s in {q}?|"
    "How many times does {c} appear in {q}?|How often is the letter {c} in {q}?|"
    "How many letters {c} are in {q}?|Count the {c}'s in {q}|How many {c}'s are there in {q}?|"
    "How many times does the letter {c} appear in {q}?"
).split("|")
SPELL = (
    "Spell {q}|Spell {q}|Spell the word {q}|How do you spell {q}?|How is {q} spelled?|Please spell {q}|"
    "Can you spell {q}?|What are the letters of {q}?|Spell {q} for me|What letters are in {q}?"
).split("|")
CHAT = [
    (
        "hi|hello|hey|hi there|hello there|good morning|good evening|good afternoon|hey there|hello!|hi!|hello abacus|"
        "hi abacus|greetings|good day|hello, how can you help|hello again|hi, nice to meet you",
        HELLO,
    ),
    (
        "who are you|what are you|what is your name|what's your name|tell me about yourself|introduce yourself|"
        "who is this|who am I talking to|what is abacus|are you abacus|what model are you|which model are you|your name|"
        "are you a language model|are you an AI|are you a robot|say what you are|what kind of model are you",
        IDENTITY,
    ),
    (
        "what can you do|help|what can I ask you|what do you do|what are you good at|how can you help me|"
        "what can you do for me|what do you know|show me what you can do|what are your abilities|what should I ask|"
        "help me|can you help me|what else can you do|what is it you can do|give me an example|?|what things can you do",
        ABILITIES,
    ),
    (
        "are you ChatGPT|are you GPT|are you Claude|are you Gemini|are you Llama|are you Siri|are you human|"
        "are you a human|are you a person|are you Alexa|are you Qwen|are you a large model|are you alive",
        NOT_ANOTHER,
    ),
    ("what is llmcore|what's llmcore|tell me about llmcore|llmcore|explain llmcore|what does llmcore do", LIBRARY),
    (
        "who made you|who trained you|where do you come from|how were you trained|who created you|who built you|"
        "what were you trained on|how were you made",
        ORIGIN,
    ),
    (
        "how big are you|how large are you|how many parameters do you have|how small are you|how many weights do you have|"
        "what is your size",
        SIZE,
    ),
    ("how are you|how are you doing|how are you today|how do you do|how is it going|are you ok|how do you feel", FINE),
    (
        "thanks|thank you|thank you very much|thanks a lot|great, thanks|good job|well done|nice|great|very good|"
        "thank you!|ok thanks|correct|that is right|perfect|cool|ok|good|right|wow",
        WELCOME,
    ),
    ("bye|goodbye|good bye|see you|see you later|good night|bye bye|farewell", GOODBYE),
    (
        "can you count|can you spell|can you add|can you subtract|can you compare numbers|can you do sums|can you do math|"
        "do you know math|can you calculate|can I ask you something|can you do arithmetic",
        OFFER,
    ),
]
OTHER = (
    "What is the capital of {country}?|Who is the president of {country}?|Where is {country}?|Tell me about {country}|"
    "How many people live in {country}?|What language do they speak in {country}?|What is the capital city of {country}?|"
    "Tell me a joke|Write a poem|Write a poem about {topic}|Write a story about {topic}|Tell me about {topic}|"
    "Explain {topic}|What is {topic}?|Why is the sky blue?|What time is it?|What day is it today?|What is the date?|"
    "What is the weather like?|Will it rain tomorrow?|Translate {noun} to French|Translate {noun} into German|"
    "How do you say {noun} in Spanish?|What does {noun} mean?|What is a {noun}?|Define {noun}|Write a {noun}|"
    "Draw a {noun}|How do I make a {noun}?|Where can I buy a {noun}?|Do you like {noun}?|I like {noun}|"
    "Write a Python program|Write code to sort a list|Write a function|Fix this code|Summarize this text|"
    "Who wrote Hamlet?|Who was Einstein?|When did the war end?|When was {country} founded?|Who won the game?|"
    "Recommend a book|Recommend a film about {topic}|What should I eat?|How do I cook {noun}?|Play some music|"
    "Open the door|What is the meaning of life?|Do you love me?|Are you happy?|Tell me a secret|Sing a song|"
    "What is the best {noun}?|Why do {noun}s sleep?|Where is the {noun}?|Is there a {noun} on the moon?|"
    "How old are you?|Where do you live?|What is your favourite {noun}?|Do you have a {noun}?|How far is the moon?|"
    "How tall is a {noun}?|How many legs does a {noun} have?|What colour is a {noun}?|Send an email|Set an alarm|"
    "Give me advice|I am sad|I am {noun}|My name is {name}|My {noun} is broken|What is my name?|Who am I?|"
    "The {noun} is on the {noun2}|{noun}|{noun} {noun2}|{noun} and {noun2}|{junk}|{junk} {junk2}|{junk}?|"
    "Can you drive a {noun}?|Can you write?|Can you translate?|Can you tell me a story?|Can you write a {noun}?|"
    "Rhyme with {noun}|What rhymes with {noun}?|Name a {noun}|Name three {noun}s|List all {noun}s|"
    "What happened in {year}?|Who was king in {year}?|What is the temperature?|What is pi?|Is {noun} a word?|"
    "What is the square root of {n}?|Is {n} prime?|Convert {n} km to miles|What is {n} percent of {n2}?|"
    "How many days are in a year?|Solve for x|What is x?|Integrate x|Prove it|Why?|How?|When?|Where?|really?|so what"
).split("|")
PRODUCTS = (
    "{a}*{b}=?|{a}*{b}|{a} * {b}|{a} x {b}|What is {a} * {b}?|What is {a} times {b}?|{a} times {b}|Multiply {a} by {b}|"
    "Multiply {a} and {b}|{a}/{b}|{a}/{b}=?|{a} / {b}|What is {a} / {b}?|What is {a} divided by {b}?|Divide {a} by {b}|"
    "{a} divided by {b}|Compute {a} * {b}|Compute {a} / {b}|Calculate {a} * {b}|{a}^{b}|What is {a} squared?|"
    "Can you multiply?|Can you divide?|What is the product of {a} and {b}?|Can you multiply {a} and {b}?"
).split("|")


def pair_key(a, b):
    """The same for a+b, b+a, a-b and b-a, and for 3 and 3.0."""
    return tuple(sorted((Decimal(a), Decimal(b))))


def trim(digits):
    """'08.80' -> '8.8'"""
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    digits = digits.lstrip("0")
    return "0" + digits if not digits or digits[0] == "." else digits


class Columns:
    """Two numbers written one above the other."""

    def __init__(self, a, b):
        (ai, _, af), (bi, _, bf) = a.partition("."), b.partition(".")
        self.decimals = max(len(af), len(bf))
        af, bf = af.ljust(self.decimals, "0"), bf.ljust(self.decimals, "0")
        point = "." if self.decimals else ""
        self.a, self.b = (ai or "0") + point + af, (bi or "0") + point + bf
        width = max(len(ai or "0"), len(bi or "0"))
        first, second = (ai.zfill(width) + af)[::-1], (bi.zfill(width) + bf)[::-1]
        names = PLACES[ONES - self.decimals : ONES + width]
        # Least significant first: (place, digit of a, digit of b).
        self.columns = [(n, int(x), int(y)) for n, x, y in zip(names, first, second)]

    def compare(self):
        """Lines from the most significant place to the first difference, and the sign of a - b."""
        lines = []
        for place, x, y in reversed(self.columns):
            sign = (x > y) - (x < y)
            lines.append(f"{place}: {x}{'<=>'[sign + 1]}{y}")
            if sign:
                return lines, sign
        return lines, 0

    def number(self, digits):
        text = "".join(str(d) for d in reversed(digits))
        if self.decimals:
            # The first column may hold two digits, so cut from the right.
            text = text[: -self.decimals] + "." + text[-self.decimals :]
        return trim(text)

    def add(self):
        lines, digits, carry = [], [], 0
        for place, x, y in self.columns:
            total = x + y + carry
            lines.append(f"{place}: {x}+{y}{'+1' if carry else ''}={total}")
            carry = total // 10
            digits.append(total % 10)
        if carry:
            digits.append(1)
        return lines, self.number(digits)

    def subtract(self):
        """a - b where a > b."""
        lines, digits, borrow = [], [], 0
        for place, x, y in self.columns:
            tail = f"-{y}{'-1' if borrow else ''}"
            left = x - y - borrow
            if left < 0:
                lines.append(f"{place}: {x}{tail}, borrow: {x + 10}{tail}={left + 10}")
            else:
                lines.append(f"{place}: {x}{tail}={left}")
            borrow = int(left < 0)
            digits.append(left % 10)
        return lines, self.number(digits)


def solve_sum(a, op, b):
    """-> (reply, answer)"""
    cols = Columns(a, b)
    lines = [f"{cols.a} {op} {cols.b}"]
    if op == "+":
        steps, answer = cols.add()
    else:
        steps, sign = cols.compare()
        answer = "0"
        if sign < 0:
            swapped = Columns(b, a)
            more, answer = swapped.subtract()
            steps += [f"Swap: {swapped.a} - {swapped.b}"] + more
            answer = "-" + answer
        elif sign > 0:
            more, answer = cols.subtract()
            steps += more
    return "\n".join(lines + steps + [f"Answer: {answer}"]), answer


def solve_comparison(a, b, question):
    """question: larger, smaller, is_larger, is_smaller"""
    cols = Columns(a, b)
    lines, sign = cols.compare()
    lines = [f"{cols.a} and {cols.b}", *lines, f"{a} {'<=>'[sign + 1]} {b}"]
    if question == "is_larger":
        answer = "yes" if sign > 0 else "no"
    elif question == "is_smaller":
        answer = "yes" if sign < 0 else "no"
    elif sign == 0:
        answer = "they are equal"
    else:
        answer = f"{a if (sign > 0) == (question == 'larger') else b} is {question}"
    return "\n".join(lines + [f"Answer: {answer}"])


def held_out_path():
    import os

    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "arithmetic.jsonl")


def make_held_out(count=1000, seed=20):
    """Sums of numbers up to 99.9 with one decimal, half of them differences."""
    rng = random.Random(seed)
    rows, seen = [], set()
    while len(rows) < count:
        a, b = (f"{n // 10}.{n % 10}" for n in (rng.randrange(1000), rng.randrange(1000)))
        if pair_key(a, b) in seen or (a, b) == ("1.1", "2.3"):
            continue
        seen.add(pair_key(a, b))
        op = "+-"[len(rows) % 2]
        prompt = rng.choice(ADD if op == "+" else SUB[:-1]).format(a=a, b=b)
        rows.append({"prompt": prompt, "a": a, "op": op, "b": b, "answer": solve_sum(a, op, b)[1]})
    return rows


class Generator:
    """A stream of conversations; the same seed gives the same stream."""

    def __init__(self, seed, held_out=()):
        self.rng = random.Random(seed)
        self.held_out = {pair_key(r["a"], r["b"]) for r in held_out}

    def integer(self, digits):
        return self.rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)

    def decimal(self, decimals, digits):
        text = str(self.integer(digits))
        if decimals:
            text += "." + "".join(self.rng.choice("0123456789") for _ in range(decimals))
        return text

    def number(self):
        rng = self.rng
        return self.decimal(rng.choice((0, 1, 1, 2)), rng.choice((1, 1, 2, 2, 2, 3, 4)))

    def numbers(self):
        """Two numbers: mostly up to 99.9 with one decimal, otherwise anything that the columns hold."""
        rng = self.rng
        while True:
            kind = rng.random()
            if kind < 0.50:
                a, b = (f"{n // 10}.{n % 10}" for n in (rng.randrange(1000), rng.randrange(1000)))
            elif kind < 0.60:  # alike, so that comparison goes past the first digit
                n = rng.randrange(1000)
                m = min(999, max(0, n + rng.choice((-1, 1)) * rng.randrange(0, 12)))
                a, b = f"{n // 10}.{n % 10}", f"{m // 10}.{m % 10}"
            elif kind < 0.72:
                a, b = str(self.integer(rng.choice((1, 1, 2, 2, 3)))), str(self.integer(rng.choice((1, 1, 2, 2, 3))))
            elif kind < 0.82:
                digits = rng.choice((1, 2, 3))
                a, b = self.decimal(rng.choice((1, 2)), digits), self.decimal(rng.choice((1, 2)), digits)
                if rng.random() < 0.5:
                    b = a.partition(".")[0] + "." + b.partition(".")[2]
            else:
                a, b = self.number(), self.number()
            if pair_key(a, b) not in self.held_out:
                return a, b

    def sum(self):
        rng = self.rng
        a, b = self.numbers()
        op = rng.choice("+-")
        if rng.random() < 0.06:
            template = rng.choice(ADD_STORIES if op == "+" else SUB_STORIES)
            if op == "-" and Decimal(a) < Decimal(b):
                a, b = b, a
            prompt = template.format(a=a, b=b, n=rng.choice(ITEMS))
        else:
            prompt = rng.choice(ADD if op == "+" else SUB).format(a=a, b=b)
        reply, answer = solve_sum(a, op, b)
        return prompt, reply, answer

    def more(self, last):
        """A sum that goes on from the answer before it."""
        rng = self.rng
        op = rng.choice("+-")
        prompt = rng.choice(ADD_MORE if op == "+" else SUB_MORE)
        while True:
            b = self.numbers()[1]
            if last[0] == "-":
                return prompt.format(b=b), NO_NEGATIVES, None
            if len(last.partition(".")[0]) > MAX_INTEGER_DIGITS:
                return prompt.format(b=b), TOO_LONG, None
            if pair_key(last, b) not in self.held_out:
                return (prompt.format(b=b), *solve_sum(last, op, b))

    def comparison(self):
        rng = self.rng
        a, b = self.numbers()
        if rng.random() < 0.05:
            b = a
        kind = rng.choice(("larger", "larger", "smaller", "is_larger", "is_smaller"))
        templates = {"larger": LARGER, "smaller": SMALLER, "is_larger": IS_LARGER, "is_smaller": IS_SMALLER}[kind]
        return rng.choice(templates).format(a=a, b=b), solve_comparison(a, b, kind)

    def word(self):
        rng = self.rng
        if rng.random() < 0.45:
            word = rng.choice(WORDS)
        elif rng.random() < 0.5:
            word = "".join(
                rng.choice("bcdfghjklmnpqrstvwxyz") + rng.choice("aeiou") for _ in range(rng.randrange(1, 5))
            )
            word += rng.choice(("", "", "n", "r", "st", "ll", "ng"))
        else:
            alphabet = rng.choice(("abcdefghijklmnopqrstuvwxyz", "etaoinshrdlu", "abc", "aeirstln"))
            word = "".join(rng.choice(alphabet) for _ in range(rng.randrange(2, 11)))
        if rng.random() < 0.08:
            word = word.capitalize()
        return word

    def quoted(self, word):
        return self.rng.choice((word, word, word, f'"{word}"', f"'{word}'"))

    def spelling(self):
        word = self.word()
        return self.rng.choice(SPELL).format(q=self.quoted(word)), "-".join(word)

    def letters(self):
        rng = self.rng
        word = self.word()
        if rng.random() < 0.5:
            lead, steps = "", [f"{c}{i + 1}" for i, c in enumerate(word)]
            count = len(word)
            prompt = rng.choice(COUNT_LETTERS).format(q=self.quoted(word))
        else:
            word = word.lower()
            wanted = rng.choice(word) if rng.random() < 0.85 else rng.choice("abcdefghijklmnopqrstuvwxyz")
            lead, steps, count = wanted + ": ", [], 0
            for c in word:
                count += c == wanted
                steps.append(f"{c}{count}")
            prompt = rng.choice(COUNT_LETTER).format(c=wanted, q=self.quoted(word))
        return prompt, lead + "-".join(steps) + f"\nAnswer: {count}"

    def counting(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.25:
            b = rng.randrange(1, 31)
            return rng.choice(COUNT_TO).format(b=b), ", ".join(map(str, range(1, b + 1)))
        if kind < 0.5:
            a = rng.choice((rng.randrange(0, 20), rng.randrange(0, 100), rng.randrange(0, 1000)))
            b = a + rng.randrange(1, 16)
            return rng.choice(COUNT_RANGE).format(a=a, b=b), ", ".join(map(str, range(a, b + 1)))
        if kind < 0.65:
            b = rng.randrange(2, 25)
            return rng.choice(COUNT_DOWN).format(b=b), ", ".join(map(str, range(b, 0, -1)))
        size = rng.randrange(1, 10)
        if rng.random() < 0.2:
            items = [rng.choice(("*", "x", "star", "apple", "o", rng.choice(ITEMS)))] * size
        else:
            items = [rng.choice(ITEMS) for _ in range(size)]
        prompt = rng.choice(COUNT_ITEMS).format(x=rng.choice((", ", ", ", " ")).join(items))
        return prompt, ", ".join(f"{i + 1} {w}" for i, w in enumerate(items)) + f"\nAnswer: {size}"

    def chat(self):
        prompts, reply = self.rng.choice(CHAT)
        prompt = self.rng.choice(prompts.split("|"))
        if prompt[-1].isalpha():
            question = prompt.split()[0] in ("who", "what", "how", "are", "can", "do", "which", "what's", "where")
            prompt += self.rng.choice(("", "?", "?") if question else ("", "", ".", "!"))
        if self.rng.random() < 0.6:
            prompt = prompt[0].upper() + prompt[1:]
        return prompt, reply

    def junk(self):
        rng = self.rng
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randrange(2, 9)))

    def refusal(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.56:
            prompt = rng.choice(OTHER).format(
                country=rng.choice(COUNTRIES), topic=rng.choice(TOPICS), noun=rng.choice(NOUNS),
                noun2=rng.choice(NOUNS), name=self.junk().capitalize(), junk=self.junk(), junk2=self.junk(),
                year=rng.randrange(1000, 2030), n=rng.randrange(2, 100), n2=rng.randrange(2, 100),
            )
            return prompt, CANNOT
        if kind < 0.72:
            return rng.choice(PRODUCTS).format(a=self.number(), b=self.number()), NO_PRODUCTS
        a, b = self.number(), self.number()
        op = rng.choice("+-")
        if kind < 0.86:
            long = rng.choice(
                (self.decimal(rng.choice((0, 1, 2)), rng.randrange(5, 9)), self.decimal(rng.randrange(3, 7), rng.randrange(1, 5)))
            )
            a, b = (long, b) if rng.random() < 0.5 else (a, long)
            return rng.choice(ADD if op == "+" else SUB).format(a=a, b=b), TOO_LONG
        if kind < 0.94:
            c = self.number()
            prompt = rng.choice(
                ("{a}{p}{b}{q}{c}", "{a} {p} {b} {q} {c}", "What is {a} + {b} + {c}?", "Add {a}, {b} and {c}", "{a}+{b}{q}{c}=?",
                 "Compute {a} {p} {b} {q} {c}")
            )
            return prompt.format(a=a, b=b, c=c, p=op, q=rng.choice("+-")), TWO_ONLY
        a, b = ("-" + a, b) if rng.random() < 0.7 else (a, "-" + b)
        return rng.choice(ADD if op == "+" else SUB[:-1]).format(a=a, b=b), NO_NEGATIVES

    def turn(self, last):
        rng = self.rng
        kind = rng.random()
        if last is not None and kind < 0.25:
            return self.more(last)
        kind = rng.random()
        if kind < 0.34:
            return self.sum()
        if kind < 0.47:
            return (*self.comparison(), None)
        if kind < 0.60:
            return (*self.counting(), None)
        if kind < 0.73:
            return (*self.letters(), None)
        if kind < 0.82:
            return (*self.spelling(), None)
        if kind < 0.90:
            return (*self.chat(), None)
        return (*self.refusal(), None)

    def styled(self, prompt):
        """People do not type alike. Words to be spelled keep their letters: only the first one changes case."""
        rng = self.rng
        style = rng.random()
        if style < 0.12:
            prompt = prompt[0].lower() + prompt[1:]
        elif style < 0.16 and prompt[-1] in "?.!" and "=" not in prompt:
            prompt = prompt[:-1]
        elif style < 0.20 and prompt[-1].isalnum():
            prompt += rng.choice(".?")
        elif style < 0.22 and not prompt[0].isdigit():
            prompt = rng.choice(("Please ", "please ", "ok, ", "Now ", "And ", "so ")) + prompt[0].lower() + prompt[1:]
        return prompt

    def conversation(self, long=False):
        """-> messages, as the chat template takes them"""
        rng = self.rng
        messages = []
        if rng.random() < 0.12:
            messages.append({"role": "system", "content": rng.choice(SYSTEMS)})
        turns = rng.choice((1, 1, 1, 1, 1, 1, 2, 2, 3, 4))
        if long:
            turns = rng.randrange(5, 15)
        last = None
        for _ in range(turns):
            prompt, reply, last = self.turn(last)
            messages.append({"role": "user", "content": self.styled(prompt)})
            messages.append({"role": "assistant", "content": reply})
        return messages


def last_number(reply):
    found = re.findall(r"-?\d+(?:\.\d+)?", reply)
    return Decimal(found[-1]) if found else None


if __name__ == "__main__":
    with open(held_out_path(), "w") as out:
        for row in make_held_out():
            out.write(json.dumps({"prompt": row["prompt"], "answer": row["answer"]}) + "\n")
