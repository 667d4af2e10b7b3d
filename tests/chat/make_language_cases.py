#!/usr/bin/env python3
"""Writes language_cases.json: small templates with what Jinja2 renders for them.

Needs jinja2 3.1. The environment is the one in which transformers renders chat templates. Run it
after changing CASES; the test reads only the JSON, which lies beside this file.
"""
import datetime
import json
import pathlib

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

CLOCK = datetime.datetime(2025, 7, 10, 12, 0, 0)


class Generation(Extension):
    """{% generation %}, which transformers adds to mark what the assistant said."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_run")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _run(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                          sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = CLOCK.strftime
    return env


VARIABLES = {
    "n": 7,
    "neg": -7,
    "f": 2.5,
    "s": "Hello World",
    "u": "Grüße, 世界! ß",
    "empty": "",
    "nothing": None,
    "yes": True,
    "no": False,
    "list": [3, 1, 2],
    "names": ["bob", "Alice", "carol", "Bob"],
    "nested": [[1, 2], [3], []],
    "d": {"b": 1, "a": "x", "C": None, "items": "own"},
    "users": [
        {"name": "ann", "age": 30, "tags": ["x"], "address": {"city": "Oslo"}},
        {"name": "Bo", "age": 25, "tags": [], "address": {"city": "Bern"}},
        {"name": "cy", "age": 30, "tags": ["y", "z"]},
    ],
    "html": "<a href=\"x\">'&'</a>",
    "messages": [
        {"role": "system", "content": " Be brief. "},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello <b>"},
    ],
}

# One template a line; the name is the line.
CASES = r"""
{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 2 }}
{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ (-2) ** 2 }} {{ -2 ** 2 }} {{ 2.0 ** 0.5 }}
{{ 7.5 // 2 }} {{ -7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 0.1 + 0.2 }} {{ 1e3 }} {{ 1.0 }}
{{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1.5e300 * 1e10 }} {{ 123456789012345680.0 }} {{ 1_000 }}
{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 3.14 }} {{ 1e-7 }} {{ -0.0 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }}
{{ true }} {{ false }} {{ none }} {{ True and 1 }} {{ 0 or 'x' }} {{ not 1 }} {{ not '' }} {{ '' or none }}
{{ true + 1 }} {{ true * 3 }} {{ -true }} {{ +true }} {{ true == 1 }} {{ 1.0 == 1 }} {{ '1' == 1 }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 != 2 }} {{ 'a' < 'b' }} {{ 'Z' < 'a' }} {{ [1, 2] < [1, 3] }} {{ (1,) < (1, 0) }}
{{ 1 in [1, 2] }} {{ 'el' in s }} {{ 'x' not in s }} {{ 'a' in d }} {{ 1 in d }} {{ 3 in range(5) }} {{ '' in s }}
{{ n if yes }} {{ n if no }}| {{ n if no else 'other' }} {{ 'a' if no else 'b' if no else 'c' }}
{{ 'a' ~ 1 ~ none ~ true ~ 1.5 ~ [1] ~ undefined_thing }}
{{ 'a' 'b' "c" }} {{ 'tab\tnew\nquote\'q' }} {{ "\u00e9\x41\101" }} {{ 'back\\slash \d' }}
{{ 'ab' * 3 }}{{ 0 * 'ab' }}{{ [1] * 2 }} {{ -1 * 'x' }}| {{ (1, 2) + (3,) }} {{ [1] + [2, [3]] }}
{{ [] }} {{ [1, 'a', none, true, 1.0] }} {{ () }} {{ (1,) }} {{ (1, 'b') }} {{ {} }} {{ {'a': 1, 2: 'b', none: [()]} }}
{{ ["it's"] }} {{ ['say "hi"'] }} {{ ["both ' and \""] }} {{ ["new\nline\ttab\\"] }} {{ ["é世\u200b\x7f\x00"] }}
{{ {'a': 1, 'a': 2, 'b': 3} }} {{ {1: 'int', 1.0: 'float', true: 'bool'} }}
{{ s[0] }} {{ s[-1] }} {{ s[99] }}| {{ u[2] }} {{ u[7:9] }} {{ u[::-1] }} {{ s[::2] }} {{ s[1:5] }} {{ s[-3:] }} {{ s[:-3] }} {{ s[5:1] }}|
{{ list[0] }} {{ list[-1] }} {{ list[9] }}| {{ list[1:] }} {{ list[::-1] }} {{ list[:-1] }} {{ list[5:] }} {{ list[-9:9] }} {{ (1, 2, 3)[1:] }}
{{ list[::2] }} {{ list[2:0:-1] }} {{ list[none:none] }} {{ s[10:0:-3] }} {{ list[true] }} {{ range(10)[3] }}
{{ list['x'] }}| {{ d['missing'] }}| {{ d.missing }}| {{ d.a }} {{ d['items'] }} {{ d['get']('a') }} {{ list.0 }} {{ nested.0.1 }}
{{ d.items() | list }} {{ d.keys() }} {{ d.values() | list }} {{ d.items() }} {{ d.get('zz') }} {{ d.get('zz', 5) }}
{{ undefined_thing }}| {{ undefined_thing is defined }} {{ undefined_thing | length }} {{ undefined_thing | list }} {{ undefined_thing == other_undefined }}
{% for x in undefined_thing %}never{% endfor %}{{ undefined_thing | default('dflt') }} {{ nothing | default('d') }} {{ nothing | default('d', true) }} {{ '' | d('e', boolean=true) }}
{{ undefined_thing.attribute }}
{{ undefined_thing['x'] }}
{{ undefined_thing + 1 }}
{{ undefined_thing() }}
{{ d.missing.deeper }}
{{ none.x }}| {{ none['x'] }}| {{ none.x.y }}
{{ 1 + 1 ~ 2 + 2 }}
{{ none.x }}| {{ none['x'] }}|
{{ 1 / 0 }}
{{ 1 // 0 }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ [1] + (2,) }}
{{ 1 < 'a' }}
{{ 1 in 5 }}
{{ 1 in 'abc' }}
{{ nothing() }}
{{ s() }}
{{ -s }}
{{ {[1]: 2} }}
{{ list.append(4) }}
{{ d.update({'x': 1}) }}
{{ list.append is defined }} {{ s.__class__ is defined }}
{{ s.__class__() }}
{{ raise_exception('no such role: ' ~ n) }}
{% if yes %}A{% elif no %}B{% else %}C{% endif %}{% if no %}A{% elif yes %}B{% endif %}{% if no %}A{% else %}C{% endif %}
{% for x in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }};{% endfor %}
{% for x in list %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
{% for x in list %}{{ loop.cycle('odd', 'even') }} {{ loop.changed(x > 1) }} {% endfor %}
{% for x in [] %}x{% else %}empty{% endfor %}{% for x in [1] %}x{% else %}empty{% endfor %}
{% for x in list if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}
{% for x in list if x > 9 %}{{ x }}{% else %}none{% endfor %}
{% for x in range(10) %}{% if x == 3 %}{% continue %}{% endif %}{% if x == 6 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'añb' %}[{{ c }}]{% endfor %}
{% for a, (b, c) in [(1, (2, 3)), (4, [5, 6])] %}{{ a }}{{ b }}{{ c }};{% endfor %}
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
{% for a, b in [(1,)] %}{{ a }}{% endfor %}
{% for x in 5 %}{{ x }}{% endfor %}
{% for x in nothing %}{{ x }}{% endfor %}
{% for x in nested recursive %}{% if x is sequence %}[{{ loop(x) }}]{% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}
{% for a in [1, 2] %}{% for b in 'xy' %}{{ loop.index }}{{ a }}{{ b }}{% endfor %}{{ loop.index }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if true %}{% set x = 2 %}{% endif %}{{ x }}
{% set ns = namespace(c=0, l=[]) %}{% for i in list %}{% set ns.c = ns.c + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.c }} {{ ns.l }}
{% set ns = namespace(found=false) %}{% for i in list if not ns.found %}{{ i }}{% if i == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns.c }}|
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% set (c, e) = [3, 4] %}{{ c }}{{ e }}
{% set d.x = 1 %}
{% set block %}text {{ n }}{% endset %}{{ block }}{% set up | upper %}abc {{ s }}{% endset %}{{ up }}
{% set ns = namespace() %}{% set ns.t %}block{% endset %}{{ ns.t }}
{% with a = 1, b = n %}{{ a }}{{ b }}{% set a = 9 %}{{ a }}{% endwith %}{{ a }}|
{% set a = 5 %}{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | trim %} aXa {% endfilter %}
{% macro m(a, b='d', c=none) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 2, 3) }} {{ m(b=5, a=4) }} {{ m() }}
{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=1) }}
{% macro m(a) %}{{ a + 1 }}{% endmacro %}{{ m() }}
{% macro outer(x) %}<{{ caller(x, 2) }}>{% endmacro %}{% call(a, b) outer(1) %}{{ a }}/{{ b }}{% endcall %}
{% macro outer() %}{% if caller %}has{% else %}none{% endif %}{% endmacro %}{{ outer() }}{% call outer() %}x{% endcall %}
{% macro m() %}{{ later }}{% endmacro %}{% set later = 3 %}{{ m() }}
{% macro fact(k) %}{{ 1 if k < 2 else k * (fact(k - 1) | int) }}{% endmacro %}{{ fact(10) }}
{% macro m(x) %}{{ x }}{% endmacro %}{% for i in list %}{{ m(i) }}{% endfor %}{{ m.name }}
{% for i in [1, 2] %}{% macro g() %}{{ i }}{% endmacro %}{{ g() }}{% endfor %}
{% generation %}said {{ s }}{% set inner = 1 %}{% endgeneration %}{{ inner }}|
{% raw %}{{ not }} {% parsed %} {# at all #}{% endraw %} {{ 'x' }}
a{# comment {{ x }} #}b {#- strip -#} c
{{ '  x  ' | trim }}|{{ 'xxaxx' | trim('x') }}|{{ ' a b ' | upper }}|{{ 'ABC' | lower }}|{{ 'hello wORLD' | capitalize }}|{{ "it's a-b (c) x" | title }}
{{ u | upper }} {{ u | lower }} {{ 'ΑΣ ΣΑΣ.' | lower }} {{ 'ǆ ﬁ ŉ' | upper }} {{ 'ǆ' | capitalize }} {{ 'İ' | lower | length }} {{ u | length }}
{{ list | length }} {{ d | count }} {{ list | first }} {{ list | last }} {{ s | first }} {{ [] | first }}| {{ list | sum }} {{ list | min }} {{ list | max }}
{{ list | sort }} {{ list | sort(reverse=true) }} {{ names | sort }} {{ names | sort(case_sensitive=true) }} {{ names | unique | list }} {{ names | unique(true) | list }}
{{ users | sort(attribute='age') | map(attribute='name') | list }} {{ users | sort(attribute='age,name', reverse=true) | map(attribute='name') | join(',') }}
{{ users | map(attribute='address.city') | list }}
{{ users[:2] | map(attribute='address.city') | list }} {{ users | map(attribute='tags.0', default='-') | join }} {{ users | map(attribute='zz', default='?') | list }} {{ users | map(attribute='zz') | list }}
{{ users | selectattr('age', 'equalto', 30) | map(attribute='name') | join(', ') }} {{ users | rejectattr('tags') | map(attribute='name') | list }} {{ users | selectattr('address') | list | length }}
{{ list | select('odd') | list }} {{ list | reject('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} {{ list | select('greaterthan', 1) | list }} {{ list | reject('in', [1, 2]) | list }}
{{ names | map('upper') | join('-') }} {{ ['a', 'b'] | map('replace', 'a', 'z') | list }} {{ [1, 2] | map('string') | join }}
{{ users | groupby('age') | length }} {% for age, group in users | groupby('age') %}{{ age }}:{{ group | map(attribute='name') | join('+') }};{% endfor %}
{{ users | sum(attribute='age') }} {{ [[1], [2]] | sum(start=[]) }} {{ users | map(attribute='age') | max }} {{ users | min(attribute='age') }}
{{ list | join }} {{ list | join(', ') }} {{ users | join('/', attribute='name') }} {{ [1, none, 'a', 2.0] | join('|') }} {{ 'abc' | join('.') }}
{{ list | reverse | list }} {{ s | reverse }} {{ range(3) | list }} {{ range(5, 0, -2) | list }} {{ range(0) | list }} {{ range(3) }} {{ 'abc' | list }} {{ d | list }}
{{ d | dictsort }} {{ d | dictsort(case_sensitive=true) }} {{ {'x': 2, 'y': 1} | dictsort(by='value') }} {{ {'x': 2, 'y': 1} | dictsort(reverse=true) }}
{{ d | items | list }} {{ undefined_thing | items | list }} {% for k, v in d | items %}{{ k }}{% endfor %}
{{ 'x' | items | list }}
{{ range(7) | batch(3) | list }} {{ range(7) | batch(3, 'x') | list }} {{ range(7) | slice(3) | list }} {{ range(7) | slice(3, '-') | list }}
{{ s | replace('l', 'L') }} {{ s | replace('l', 'L', 1) }} {{ 'aaa' | replace('', '-') }} {{ 5 | replace(5, 6) }}
{{ 3.7 | int }} {{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(9) }} {{ '0x1f' | int(base=16) }} {{ '3.9' | int }} {{ none | int }} {{ ' 12 ' | int }} {{ -3.7 | int }} {{ (-3.7) | int }} {{ '1_000' | int }} {{ true | int }}
{{ '3.5' | float }} {{ 3 | float }} {{ 'x' | float }} {{ 'x' | float(1.5) }} {{ 'inf' | float }} {{ '1e3' | float }} {{ none | float }}
{{ 2.5 | round }} {{ 3.5 | round }} {{ 2.675 | round(2) }} {{ 1234.5 | round(-2) }} {{ 2.1 | round(method='ceil') }} {{ 2.16 | round(1, 'floor') }} {{ 5 | round }} {{ 15 | round(-1) }} {{ 25 | round(-1) }} {{ -2.5 | round }}
{{ -3 | abs }} {{ (-3) | abs }} {{ -2.5 | abs }} {{ 'a b c' | wordcount }} {{ 'a,b;c' | wordcount }} {{ 'x' | center(5) }}| {{ 'xy' | center(5) }}|
{{ 'a\nb\n\nc' | indent }} {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(2, blank=true) }} {{ 'a\nb' | indent('> ') }} {{ 'a\n' | indent }}|
{{ 'hello big world' | truncate(9) }} {{ 'hello big world' | truncate(9, true) }} {{ 'hello big world' | truncate(9, false, '!') }} {{ 'hello' | truncate(5) }} {{ 'hello world' | truncate(5, leeway=10) }}
{{ '%s is %d and %.2f' | format('x', 5, 1.239) }} {{ '%(a)s-%(b)05d' | format(a='y', b=42) }} {{ '%5s|%-5s|%05d|%+d|%x|%X|%o|%%' | format('a', 'b', 42, 5, 255, 255, 8) }}
{{ '%r %s %e %g' % ('q', [1, 'a'], 12345.678, 0.0001) }} {{ '%s' % s }} {{ '%.3s|%6.2f|%-8.1f|' % ('abcdef', 3.14159, 2.25) }} {{ '%d' % 3.9 }} {{ '%s' % none }}
{{ '%s %s' % ('a',) }}
{{ '%d' % 'x' }}
{{ '{} {} {}'.format(1, 'a', none) }} {{ '{1}{0}'.format('a', 'b') }} {{ '{x}-{y!r}'.format(x=1, y='q') }} {{ '{{}}{}'.format(5) }}
{{ '{:>5}|{:<5}|{:^5}|{:*^7}|{:05d}|{:+}|{:x}|{:,}'.format('a', 'b', 'c', 'd', 42, 7, 255, 1234567) }} {{ '{:.2f} {:8.3f} {:e} {:.0f} {:%} {:.1%}'.format(1.005, 3.14159, 12345.6, 2.5, 0.25, 0.123) }} {{ '{:5}|{:5}|{:.2}'.format(3, 'a', 'abc') }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.swapcase() }} {{ 'abc DEF'.capitalize() }} {{ "they're bill's".title() }}
{{ s.split() }} {{ s.split('o') }} {{ 'a,b,c'.split(',', 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a  b '.split() }} {{ ' a  b '.split(' ') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a b c '.split(none, 1) }} {{ ' a b c'.rsplit(none, 1) }} {{ 'a,b'.split(sep=',', maxsplit=0) }}
{{ 'x'.split('') }}
{{ '\ta b\n'.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xyaxy'.lstrip('yx') }}|{{ 'xyaxy'.rstrip('yx') }}|{{ '\u00a0é\u3000'.strip() }}|{{ 'éaé'.strip('é') }}|{{ ' a '.strip(none) }}
{{ s.startswith('He') }} {{ s.startswith(('x', 'H')) }} {{ s.endswith('ld') }} {{ s.endswith(('a', 'b')) }} {{ s.startswith('W', 6) }} {{ s.startswith('') }} {{ s.endswith('o', 0, 5) }}
{{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('zz') }} {{ u.find('世') }} {{ s.find('o', 5) }} {{ s.index('W') }} {{ s.count('l') }} {{ 'aaaa'.count('aa') }} {{ 'abc'.count('') }} {{ s.find('') }} {{ s.rfind('') }}
{{ s.index('zz') }}
{{ ', '.join(['a', 'b']) }} {{ ''.join(names) }} {{ '-'.join('abc') }}
{{ ','.join([1, 2]) }}
{{ s.replace('o', '0') }} {{ s.replace('o', '0', 1) }} {{ 'abc'.replace('', '.') }} {{ s.replace('zz', 'y') }}
{{ 'abc'.isalpha() }} {{ 'ab1'.isalpha() }} {{ '12'.isdigit() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ 'a1'.isalnum() }} {{ ' \n'.isspace() }} {{ ''.isalpha() }} {{ 'ABC'.isupper() }} {{ 'Abc'.islower() }} {{ 'Abc Def'.istitle() }} {{ 'é'.isascii() }} {{ '世界'.isalpha() }}
{{ '42'.zfill(5) }} {{ '-42'.zfill(5) }} {{ 'a'.ljust(4, '.') }} {{ 'a'.rjust(4) }} {{ 'ab'.center(5, '*') }} {{ 'abc'.center(6, '*') }} {{ 'a\tb'.expandtabs(4) }} {{ 'x\ty'.expandtabs() }}
{{ 'prefix_x'.removeprefix('prefix_') }} {{ 'x_suf'.removesuffix('_suf') }} {{ 'a=b=c'.partition('=') }} {{ 'a=b=c'.rpartition('=') }} {{ 'abc'.partition('=') }} {{ 'abc'.rpartition('=') }} {{ 'a\nb\r\nc\x0bd\x85e'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }}
{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ (1, 2).index(1) }} {{ d.copy() }} {{ 2.0.is_integer() }}
{{ [1].index(5) }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 7 }} {{ n is divisibleby(2) }} {{ n is number }} {{ f is number }} {{ true is number }} {{ n is integer }} {{ true is integer }} {{ f is float }} {{ true is boolean }} {{ n is boolean }}
{{ s is string }} {{ list is string }} {{ d is mapping }} {{ list is mapping }} {{ s is sequence }} {{ d is sequence }} {{ n is sequence }} {{ list is iterable }} {{ n is iterable }} {{ undefined_thing is iterable }} {{ undefined_thing is sequence }} {{ none is iterable }}
{{ none is none }} {{ n is none }} {{ n is not none }} {{ n is defined }} {{ undefined_thing is undefined }} {{ n is not defined }} {{ not n is defined }} {{ yes is true }} {{ 1 is true }} {{ no is false }} {{ 0 is false }}
{{ 1 is eq 1 }} {{ 1 is equalto(2) }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 2 is ge 2 }} {{ 1 is lt 2 }} {{ 1 is le 0 }} {{ 2 is greaterthan 1 }} {{ 1 is lessthan 2 }} {{ 1 is in [1, 2] }} {{ 'a' is in d }} {{ yes is sameas true }} {{ 1 is sameas true }}
{{ 'abc' is lower }} {{ 'ABC' is upper }} {{ 'a1' is lower }} {{ '1' is lower }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ range is callable }} {{ s is callable }} {{ s.upper is callable }} {{ ('<' | safe) is escaped }} {{ s is escaped }}
{{ d | tojson }} {{ list | tojson }} {{ s | tojson }} {{ none | tojson }} {{ true | tojson }} {{ 1.0 | tojson }} {{ (1, 2) | tojson }} {{ html | tojson }} {{ u | tojson }}
{{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ {'a': [], 'b': {}} | tojson(indent=4) }} {{ users | tojson(indent=1) }}
{{ u | tojson(ensure_ascii=true) }} {{ '\U0001F600\x7f\x01' | tojson(ensure_ascii=true) }} {{ '\x7f\x01\b\f"\\/' | tojson }} {{ {'b': 1, 'a': {'d': 1, 'c': 2}} | tojson(sort_keys=true) }} {{ {'a': [1, 2]} | tojson(separators=(',', ':')) }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ [1] | tojson(indent='--') }}
{{ undefined_thing | tojson }}
{{ (list | map('string')) | tojson }}
{{ ('a' | safe) | tojson }} {{ d.items() | list | tojson }}
{{ html | e }} {{ html | escape }} {{ html | safe }} {{ ('<' | safe) + '<' }} {{ ('<' | safe) ~ '<' }} {{ '<' + ('&' | safe) }} {{ [('<' | safe)] }} {{ ('<' | e) | length }} {{ ('<b>' | safe) | upper }} {{ html | e | e }} {{ html | forceescape }}
{{ 'a b/c?d=é' | urlencode }} {{ {'a b': 'c&d', 'e': 1} | urlencode }} {{ [('x', 'y z')] | urlencode }}
{{ dict(a=1, b='x') }} {{ dict([('a', 1)], c=2) }} {{ dict({'z': 1}) }} {{ dict() }}
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.next() }}
{% set j = joiner('; ') %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}
{{ range(1000000) | length }}
{{ range(1, 2, 0) | list }}
{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y') }} {{ strftime_now('%A, %B %e, %H:%M:%S %p %I %j %y') }} {{ strftime_now('%U %W %V %G %u %w %C %D %F %T %R %%') }}
{{ 'x' | nosuchfilter }}
{% if no %}{{ 'x' | nosuchfilter }}{% endif %}ok
{{ 'x' is nosuchtest }}
{% nosuchtag %}
{% if yes %}unclosed
{{ 'unclosed
{{ 1 + }}
{{ (1 }}
{% for x in %}{% endfor %}
{{ m(*[1, 2], **{'c': 3}) }}
{% macro m(a, b, c) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(*[1, 2], **{'c': 3}) }}
{{ 9223372036854775807 }} {{ -9223372036854775807 - 1 }} {{ 4611686018427387904 + 4611686018427387903 }}
{{ [1, [2, {'k': (3, none)}]] == [1, [2, {'k': (3, none)}]] }} {{ {'a': 1, 'b': 2} == {'b': 2, 'a': 1} }} {{ (1,) == [1] }} {{ [] != () }}
{{ messages[0].content | trim }} {{ messages[-1]['content'] }} {{ messages[1:] | length }} {{ messages | map(attribute='role') | join(',') }} {{ messages | selectattr('role', 'eq', 'user') | list }}
{{ (messages | selectattr('role', 'eq', 'user') | first).content }} {{ (messages | rejectattr('role', 'in', ['user', 'system']) | list)[0].role }}
{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m.content | trim if loop.first else m.content }}{% if not loop.last %}{{ '\n' }}{% endif %}{% endfor %}
{% set g = list | map('string') %}{{ g | list }}{{ g | list }}{% for x in g %}never{% endfor %}{{ g is defined }}
{% set g = users | map(attribute='age') %}{% for x in g %}{{ loop.length }}{{ x }}{{ loop.last }} {% endfor %}
{{ {'a': {'b': [10, 20]}}.a.b[1] }} {{ [[1, 2], [3]][0][-1] }} {{ 'abc'[1:][0] }} {{ {'x': s}['x'].upper()[:3] }} {{ (s | upper)[0] }} {{ s | upper | lower | title }}
{{ -1 | abs }} {{ - n }} {{ -n | abs }} {{ 2 * -3 }} {{ not yes and no }} {{ not (yes and no) }} {{ 1 ~ 2 * 3 }} {{ 2 ~ 3 ~ 4 }} {{ n > 5 and n < 10 or no }} {{ 'a' in 'abc' and 'z' not in 'abc' }}
{{ 1 if 0 else 2 + 3 }} {{ [x if x else 'e'] }} {{ {'a': 1 if yes else 2} }} {{ (1, 2) if yes }} {{ 'x' if 'a' is in d and n is odd else 'y' }}
{{ s is string and s | length > 3 }} {{ n is defined and n == 7 }} {{ n is not string and not no }} {{ list | length is divisibleby 3 }} {{ 5 is not odd }}
{%- if yes -%}  a  {%- endif -%}  b  {{- ' c ' -}}  d
{% if yes +%} x {%+ endif %} y
{{ 'a' }}{{ 1, 2 }}{{ 'trailing', }}
{% if n == 7: %}colon{% endif %}{% for x in 1, 2 %}{{ x }}{% endfor %}{% if 1, 2 %}t{% endif %}
{% set x %}{% for i in list %}{{ i }},{% endfor %}{% endset %}{{ x | trim(',') }} {{ x.rstrip(',').split(',') | map('int') | sum }}
{% macro t(p) %}{% if p.type == 'array' %}{{ t(p['items']) }}[]{% else %}{{ p.type }}{% endif %}{% endmacro %}{{ t({'type': 'array', 'items': {'type': 'array', 'items': {'type': 'int'}}}) }}
{% set out = [] %}{% set _ = out.append(1) %}
{{ names | map('lower') | sort | unique | join(' ') }} {{ list | map('float') | map('round', 1) | list }} {{ nested | map('length') | list }} {{ nested | map('first') | list | length }}
{{ 'x' ~ (nothing or 'y') ~ (undefined_thing or 'z') }} {{ (undefined_thing | default([])) + [1] }} {{ undefined_thing | default(none) is none }} {{ (d.zz | default({})).a | default('deep') }}
{{ list | attr('count') is callable }} {{ d | attr('a') }}| {{ s | attr('nope') }}|
{{ [3, 1] | sort | first }} {{ {'a': 1} | length }} {{ 'é' | length }} {{ [none, 1] | select('none') | list }} {{ [1, 'a'] | select('string') | list }}
{{ [1, 'a'] | sort }}
{{ [none, none] | sort }} {{ names | sort(attribute='zz') }} {{ ('ab' | e) | list }} {{ 'é' | int }} {{ list | truncate(5) }} {{ 'x' % undefined_thing }} {{ 'x' % [1] }}
{{ [none, 1] | max }}
{{ 3 | length }}
{{ list | map | list }}
{{ list | join(attribute=5) }}
{{ 1e400 }} {{ '1e400' | float }} {{ ('inf' | float) > 1 }} {{ ('nan' | float) == ('nan' | float) }} {{ 'nan' | float }}
{{ 'inf' | float | int }}
{{ (1, 2, 3) | first }} {{ {'a': 1}.items() | first }} {{ d.keys() | list | length }} {{ d.items() | length }} {{ d.values() | map('string') | join }} {{ 'a' in d.keys() }} {{ 1 in d.values() }} {{ ('b', 1) in d.items() }}
{% set t = namespace(x=1) %}{{ t.x }}{{ t['x'] }}{{ t.y is defined }}{{ t is mapping }}{{ t is iterable }}
{{ namespace(a=1) | length }}
{{ loop }}|{{ loop is defined }}{{ caller is defined }}{{ range is defined }}{{ dict is defined }}
{% for x in list %}{{ loop.index is odd }}{{ loop is defined }}{{ loop.nope is defined }}{% endfor %}
{% for x in nested %}{% for y in x %}{{ y }}{% if not loop.last %},{% endif %}{% else %}-{% endfor %};{% endfor %}
{% for u in users if u.age == 30 and u.tags %}{{ u.name }}{{ loop.last }}{% endfor %}
{% for k, v in users[0] | dictsort %}{{ k }}:{{ v }} {% endfor %}
{% for k, v in d.items() if v is string %}{{ k }}{% endfor %}{% for i in range(3) | reverse %}{{ i }}{% endfor %}
{{ [1, 2, 3][1:] + [4] }} {{ ([1] + [2]) * 2 }} {{ 'a' * 0 }}| {{ [] * 5 }}
{{ {'a': 1} | items | list }} {{ ({'a': 1} | items | first)[0] }} {{ [('a', 1)] | list }}
{{ 'a' if undefined_thing else 'b' }} {{ undefined_thing or 'x' }} {{ undefined_thing and 1 }}| {{ undefined_thing ~ '' }}| {{ [undefined_thing] }} {{ undefined_thing in [1] }} {{ 1 in undefined_thing }} {{ undefined_thing | trim }}| {{ undefined_thing | upper }}|
{{ undefined_thing | int }}
{{ undefined_thing < 1 }}
{{ undefined_thing is none }} {{ undefined_thing is string }} {{ undefined_thing is mapping }} {{ undefined_thing | first }}| {{ undefined_thing | join(',') }}| {{ undefined_thing | sort }} {{ undefined_thing | map('upper') | list }} {{ undefined_thing | string }}|
{{ [1, 2, 3] | random }}{{ 1 / }}
{{ s[1.5] }}| {{ list[none] }}| {{ d[none] }}| {{ d[[1]] }}| {{ n[0] }}| {{ n.x }}| {{ true.x }}| {{ s.upper.x }}|
{{ list[1:'a'] }}
{{ list[::0] }}
{{ d[1:2] }}
{{ nothing[1:2] }}
{{ n | string | length }} {{ 1234 | string | reverse }} {{ 5 | string + 'x' }} {{ none | string }} {{ true | lower }} {{ 1.50 | string }} {{ [1] | string }}
{{ 'a%sb' | format('X') }} {{ '%s' | format([1]) }} {{ '%d%%' | format(5) }} {{ '%s,%s' | format(*[1, 2]) }}
{{ [{'a': 1}, {'a': 2}] | map(attribute='a') | sum }} {{ [[1, 2], [3, 4]] | map('last') | list }} {{ [[1, 2], [3, 4]] | map(attribute=1) | list }} {{ ['b', 'a'] | map('upper') | sort | join }}
{{ [1, 1.0, true, '1'] | unique | list }} {{ [] | unique | list }} {{ ['a', 'B', 'A', 'b'] | unique | list }} {{ [3, 1, 3] | unique | sort }} {{ [[1], [1]] | sort }}
{{ [[1], [1]] | unique | list }}
{{ ['B', 'a', 'C'] | min }} {{ ['B', 'a', 'C'] | max(case_sensitive=true) }} {{ [] | max }}| {{ [(1, 'b'), (1, 'a')] | min }} {{ 'hello' | max }} {{ [1.5, 1] | min }}
{% macro a(x) %}{{ x }}{{ b(x) }}{% endmacro %}{% macro b(x) %}[{{ x }}]{% endmacro %}{{ a(1) }} {{ a(x=2) | upper }} {{ a('q') ~ 'r' }} {{ a(3) is string }}
{% macro deep(k) %}{% if k > 0 %}{{ k }},{{ deep(k - 1) }}{% endif %}{% endmacro %}{{ deep(20) }}
{% macro m(a, a2=[], **kw) %}{% endmacro %}
{% macro m(messages) %}{{ messages }}{% endmacro %}{{ m(messages='shadow') }}{{ messages | length }}
{% set messages = messages[1:] %}{{ messages | length }}{% set n = n + 1 %}{{ n }}{% for n in [9] %}{{ n }}{% endfor %}{{ n }}
{% set x = [] %}{% for i in [1, 2] %}{% set x = x + [i] %}{% endfor %}{{ x }}
{% set s2 = 'it''s' %}{{ s2 }}{{ "a" "b" ~ 'c' 'd' }}
{{ "\"quoted\" \\n" }} {{ 'a\\nb' }}
{{ '{{' }} {{ '%}' }} {{ "{% raw %}" }} {{ '#}' }}{# {{ #}
{{ messages | tojson }} {{ messages[0] }} {{ users[2] }}
{{ [true, false, none, 1.5, 1e20, -0.0] | tojson }} {{ {'a"b': 'c\\d\n\te'} | tojson }} {{ 'é\u2028' | tojson }} {{ {} | tojson }} {{ [[], {}] | tojson(indent=2) }} {{ [1, [2]] | tojson(indent=0) }} {{ {'a': 1} | tojson(indent=2, separators=(', ', ' = ')) }}
{{ 1e20 }} {{ 12345678901234567890.0 }} {{ 0.1 * 3 }} {{ 100.0 }} {{ 1e100 }} {{ 1.0e-10 }} {{ 3.0 * 2 }} {{ 10 / 4 }} {{ 10 / 5 }} {{ 2 ** 62 }} {{ 7 // 2.0 }} {{ 2 * 1.5 }} {{ -5 // 3 }} {{ -5 % 3 }} {{ 5 % -3 }} {{ 5.5 % -2 }} {{ -0.0 + 0 }}
{{ (n | float) / 2 }} {{ n * 1.0 }} {{ (n / 2) | int }} {{ (n / 2) | round | int }} {{ n / 7 == 1 }} {{ 1 == true }} {{ 0 == false }} {{ none == false }} {{ '' == none }}
{{ '%c' % 'x' }} {{ '%-6d|' % 42 }} {{ '% d' % 42 }} {{ '%#x' % 255 }} {{ '%08.3f' % 3.14159 }} {{ '%+.1e' % 12345.678 }} {{ '%(a)s' % {'a': 1} }} {{ '%s' % (('t',),) }}
{{ '{0!r:>6}|{0:<6}|{1:^6}'.format('ab', 'c') }} {{ '{:6.2f}|{:<8}|{:>+6d}|{:#x}|{:b}|{:o}|{:X}|{:,.2f}'.format(3.14159, 2.5, 7, 255, 5, 8, 255, 1234567.891) }}
{{ '{} {'.format(1) }}
{{ '{} {}'.format(1) }}
{{ '{a}'.format(b=1) }}
{{ u.split(', ') }} {{ u.replace('ü', 'ue') }} {{ u.encode is defined }} {{ u.title() }} {{ 'straße'.capitalize() }} {{ 'ÀÉ'.lower().upper() }} {{ u[-1] }} {{ u.center(20, '·') }} {{ u.find('ß') }} {{ u.startswith('Grü') }} {{ 'naïve café' | title }} {{ 'Ünï' | capitalize }} {{ u | truncate(5, true, '…') }} {{ u | wordcount }} {{ u | list | length }}
{{ 'I ate 5 apples'.split()[2] | int + 1 }} {{ 'a-b_c d'.replace('-', '_').split('_') }} {{ 'x=1;y=2'.split(';') | map('replace', '=', ':') | join(',') }}
""".strip("\n").split("\n")

# Templates of several lines.
BLOCKS = {
    "trim_blocks": "{% if yes %}\na\n{% endif %}\nb\n",
    "lstrip_blocks": "  {% if yes %}\n    a\n  {% endif %}\n  {{ n }}\n    {# c #}\nend",
    "no_lstrip_for_text_before": "x {% if yes %}\n y\n{% endif %}",
    "plus_keeps_indent": "  {%+ if yes %}a{% endif +%}\n b",
    "minus_across_lines": "a\n\n  {%- if yes -%}\n\n  b\n{%- endif %}\n\nc",
    "raw_block_lines": "{% raw %}\n {{ x }}\n{% endraw %}\nafter",
    "raw_strip": "a  {%- raw -%}  {{ x }}  {%- endraw -%}  b",
    "comment_lines": "a\n{# one\ntwo #}\nb\n  {#- three -#}  c",
    "variable_newline_kept": "{{ n }}\n{{ n }}\n",
    "trailing_newlines": "a\n\n",
    "carriage_returns": "a\r\nb\rc\r\n",
    "for_lines": "{% for x in list %}\n  {{ x }}\n{% endfor %}\ndone",
    "nested_lines": "{%- for m in messages %}\n    {%- if m.role == 'user' %}\n        {{- m.content }}\n"
                    "    {%- else %}\n        {{- '[' + m.role + ']' }}\n    {%- endif %}\n{%- endfor %}",
    "set_block_lines": "{% set x %}\n  a\n    b\n{% endset %}\n[{{ x }}]",
    "macro_lines": "{% macro m(a) %}\n  <{{ a }}>\n{% endmacro %}\n{{ m(1) }}{{ m(2) }}",
    "tabs_and_spaces": "\t {% if yes %}\t\n\tx\n \t{% endif %}\ny",
    "multi_line_expression": "{{ {\n  'a': 1,\n  'b': [\n    2,\n  ],\n} }}",
    "end_of_tag_in_string": "{{ '}}' }}{% if '%}' == '%}' %}x{% endif %}{{ '{#' }}",
    "braces_in_dict": "{{ {'a': {'b': {}}} }}",
    "lone_braces": "{ { } } {a} % } #} %}",
    "unicode_space_strip": "a\u00a0\u3000{{- n -}}\u2003b",
    "line_starts_after_strip": "{% if yes -%}\n\n   {% if yes %}\nx\n{% endif %}{% endif %}",
    "unclosed_comment": "a {# b",
    "unclosed_raw": "{% raw %} x",
    "two_ends": "{% if yes %}{% endif %}{% endif %}",
    "loop_else_scope": "{% set x = 1 %}{% for i in [] %}{% else %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}",
    "with_macro_scope": "{% set x = 'o' %}{% macro m() %}{{ x }}{% set x = 'i' %}{{ x }}{% endmacro %}{{ m() }}{{ x }}",
    "call_block_scope": "{% macro m() %}{{ caller() }}{{ caller() }}{% endmacro %}{% for i in [1, 2] %}{% call m() %}{{ loop.index }}{{ i }}{% endcall %}{% endfor %}",
    "filter_block_scope": "{% set x = 1 %}{% filter upper %}{% set x = 2 %}a{{ x }}{% endfilter %}{{ x }}",
    "break_in_nested_loop": "{% for a in [1, 2] %}{% for b in [1, 2, 3] %}{% if b == 2 %}{% break %}{% endif %}{{ a }}{{ b }} {% endfor %}{% endfor %}",
    "loop_in_else": "{% for a in [1, 2] %}{% for b in [] %}{% else %}{{ loop.index }}{% endfor %}{% endfor %}",
    "last_message_index": "{% set ns = namespace(i=-1) %}{% for m in messages %}{% if m.role == 'user' %}{% set ns.i = loop.index0 %}{% endif %}{% endfor %}{{ ns.i }}",
    "reversed_messages": "{% for m in messages[::-1] %}{% set index = (messages | length - 1) - loop.index0 %}{{ index }}{{ m.role }} {% endfor %}",
    "assistant_content_split": "{% set c = '<think>a</think>\\n\\nb' %}{{ c.split('</think>')[-1].lstrip('\\n') }}|{{ c.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') }}",
}


def main():
    env = environment()
    cases = []
    for name, template in [*((line, line) for line in CASES), *BLOCKS.items()]:
        case = {"name": name, "template": template}
        try:
            case["expected"] = env.from_string(template).render(**VARIABLES)
        except Exception as error:  # whatever Jinja2 raises is what we have to refuse as well
            case["error"] = type(error).__name__
        cases.append(case)
    with open(pathlib.Path(__file__).with_name("language_cases.json"), "w", encoding="utf-8") as file:
        json.dump({"variables": VARIABLES, "cases": cases}, file, ensure_ascii=False, indent=1)
        file.write("\n")
    print(len(cases), "cases,", sum("error" in case for case in cases), "errors")


if __name__ == "__main__":
    main()
