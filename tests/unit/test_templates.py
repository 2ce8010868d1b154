"""Templates that the warm process compiles ahead, in a process of their own: they change Jinja for all that it does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from orchestrator.project import PROJECT

PROGRAM = r"""
import json, sys
from pathlib import Path
import jinja2
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from orchestrator.ansible.templates import Templates

init_plugin_loader()
compiled, compile_anew = [], jinja2.Environment.compile
def counted(environment, source, *rest, **options):
    compiled.append(str(source))
    return compile_anew(environment, source, *rest, **options)
jinja2.Environment.compile = counted

def value(text, **options):
    return templar.template(trust_as_template(text), **options)

templar = Templar(DataLoader(), {"device": "pi-1", "name": trust_as_template("on {{ device }}")})
templates = Templates()
templates.use()
templates.prepare(Path(sys.argv[1]))
ahead = len(compiled)
said = [value("{{ name }}!"), value("{{ device | regex_replace('p(.)', '\\1') }}")]
said.append(value("{% if true %}\nyes{% endif %}", escape_backslashes=False))
later = len(compiled) - ahead
untrimmed = value("{% if true %}\nyes{% endif %}", overrides={"trim_blocks": False})
kept = [value("{{ device }} is new"), value("{{ device }} is new")]
print(json.dumps({"said": said, "later": later, "untrimmed": untrimmed, "kept": kept,
                  "new": sum(text == "{{ device }} is new" for text in compiled)}))
"""
ROLE = {
    "roles/one/tasks/main.yml": '- debug:\n    msg: "{{ name }}!"\n  vars:\n    more: ["on {{ device }}"]\n',
    "roles/one/vars/main.yml": "shorter: \"{{ device | regex_replace('p(.)', '\\\\1') }}\"\n",
    "roles/one/templates/run.sh.j2": "{% if true %}\nyes{% endif %}",
    "roles/one/vars/broken.yml": "a: [\nb: '{{ '\n",
    "roles/one/vars/wrong.yml": "a: '{{ no such | syntax('\nb: '{% endif %}'\nc: '{{ 1 | no.such.filter }}'\n",
    "roles/one/templates/wrong.j2": "{% endfor %}",
}


def test_what_a_role_says_is_compiled_once_and_means_the_same(tmp_path: Path) -> None:
    """Else a batch of devices takes twice the processor, or a device is told what another text says."""
    for name, text in ROLE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "said": ["on pi-1!", "i-1", "yes"],
        "later": 0,
        "untrimmed": "\nyes",
        "kept": ["pi-1 is new", "pi-1 is new"],
        "new": 1,
    }
