from __future__ import annotations

import importlib
from pathlib import Path

import msgspec
import pytest

from glimt.app.service_registry import CONFIGURATIONS, SERVICES, load_service, service_path
from glimt.app.site_file import load_site
from glimt.model.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLIMT_SITE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    return tmp_path


def problems(text: str) -> list[str]:
    Path("site.toml").write_text(text)
    with pytest.raises(UsageError) as raised:
        load_site()
    return str(raised.value).splitlines()


def test_without_a_file_all_is_in_a_folder_of_the_user(folder: Path) -> None:
    site = load_site()
    assert site.file is None
    assert site.broker_url == f"sqlite:{folder}/xdg/glimt/broker.sqlite"
    assert site.results_url == f"sqlite:///{folder}/xdg/glimt/results.sqlite"
    assert site.roots == (folder,)
    assert site.plan_of("images").instances == 1


def test_root_of_the_command_comes_first(folder: Path) -> None:
    for name in "ab":
        (folder / name).mkdir()
    assert load_site(roots=[Path("a"), folder / "b"]).roots == (folder / "a", folder / "b")


def test_root_of_the_command_that_is_no_folder_is_refused(folder: Path) -> None:
    (folder / "image.cbf").touch()
    for root, what in (("nosuch", "is not there"), ("image.cbf", "is no folder")):
        with pytest.raises(UsageError, match=f"--root {root} {what}.*; it must be a folder"):
            load_site(roots=[Path(root)])


def test_file_says_everything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sub = folder / "sub"
    sub.mkdir()
    (sub / "my.toml").write_text(
        """
[broker]
url = "amqp://zocalo:${BROKER_PASSWORD}@broker.site/vhost"
[results]
url_file = "results.url"
[paths]
roots = ["/data", "more"]
recipes = ["recipes"]
state = "state"
[beamline]
name = "i03"
[services.per_image_analysis]
instances = 4
queues = ["per_image_analysis", "second"]
prefetch = 10
retry_first_s = 0.5
open_files = 4
[services."my_package.module:MyService"]
nested = {a = [1, 2]}
"""
    )
    (sub / "results.url").write_text("mysql+pymysql://user:secret@db/ispyb\n")
    monkeypatch.setenv("BROKER_PASSWORD", "p%20w")
    monkeypatch.setenv("GLIMT_SITE", str(sub / "my.toml"))
    site = load_site()
    assert site.broker_url == "amqp://zocalo:p%20w@broker.site/vhost"
    assert site.results_url == "mysql+pymysql://user:secret@db/ispyb"
    assert "secret" not in repr(site)
    assert "p%20w" not in repr(site)
    assert site.roots == (Path("/data"), sub / "more")
    assert site.recipe_folders == (sub / "recipes",)
    assert site.state_folder == sub / "state"
    assert site.beamline == "i03"
    plan = site.plan_of("per_image_analysis")
    assert (plan.instances, plan.queues, plan.prefetch) == (4, ["per_image_analysis", "second"], 10)
    assert plan.retry_first_s == 0.5
    assert plan.configuration == {"open_files": 4}
    assert site.plan_of("my_package.module:MyService").configuration == {"nested": {"a": [1, 2]}}
    assert set(site.plans) == {"per_image_analysis", "my_package.module:MyService"}


def test_relative_files_of_sqlite_lie_beside_the_site_file(folder: Path) -> None:
    (folder / "site.toml").write_text(
        '[broker]\nurl = "sqlite:a/b.sqlite?synchronous=full"\n[results]\nurl = "sqlite:///c.db"'
    )
    site = load_site()
    assert site.broker_url == f"sqlite:{folder}/a/b.sqlite?synchronous=full"
    assert site.results_url == f"sqlite:///{folder}/c.db"
    (folder / "site.toml").write_text('[broker]\nurl = "sqlite:/x.sqlite"\n[results]\nurl = "sqlite:////y.db"')
    site = load_site()
    assert (site.broker_url, site.results_url) == ("sqlite:/x.sqlite", "sqlite:////y.db")


def test_every_problem_is_told_with_its_line() -> None:
    told = problems(
        """[broker]
urll = "x"
[results]
url = "mysql://${NO_SUCH_VARIABLE}@db"
[services.images]
instances = "two"
queues = ["a b"]
[services."no good"]
[beamline]
name = 3
"""
    )
    assert told == [
        "site.toml:2: broker.urll is not a key; did you mean url?",
        "site.toml:4: results.url needs the environment variable NO_SUCH_VARIABLE, which is not set",
        'site.toml:8: services."no good" is not allowed as a name; '
        "it must be the name of a service, or package.module:Class in quotes",
        "site.toml:10: beamline.name is 3; it must be a short name",
    ]


def test_plans_are_checked_too() -> None:
    told = problems('[services.images]\ninstances = "two"\nqueues = ["a b"]\nprefetch = 0\nplugins = true')
    assert [line.partition(";")[0] for line in told] == [
        'site.toml:2: services.images.instances is "two"',
        "site.toml:3: services.images.queues is a list",
        "site.toml:4: services.images.prefetch is 0",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('[broker]\nurl = "x"\nurl_file = "y"', "and url are both given"),
        ('[broker]\nurl_file = "not_there"', "cannot be read"),
        ('[broker]\nurl = ""', "is empty"),
        ("[broker", "this is not TOML"),
        ("[broker]\nurl = 3", "cannot be used"),
        ("services = 3", "must be a table"),
    ],
)
def test_wrong_files_are_told(text: str, part: str) -> None:
    assert part in problems(text)[0]


def test_missing_file_and_bytes_that_are_no_text(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no site file other\.toml"):
        load_site("other.toml")
    (folder / "site.toml").write_bytes(b"\n\xff")
    with pytest.raises(UsageError, match=r"site\.toml:2: this is not text"):
        load_site()


def test_names_of_services_lead_to_classes() -> None:
    assert service_path("images") == "glimt.services.images:ImagesService"
    assert service_path("notify-gda") == "glimt.services.notify_gda:NotifyGdaService"
    assert service_path("a.b:C") == "a.b:C"
    with pytest.raises(UsageError, match="did you mean images"):
        service_path("imags")
    with pytest.raises(UsageError, match="needs the module no_such_module"):
        load_service("no_such_module:C")
    with pytest.raises(UsageError, match="pathlib has no class Nothing"):
        load_service("pathlib:Nothing")


def test_a_password_is_not_shown_where_a_table_was_meant(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('broker = "amqp://glimt:secret@rabbit.example:5672/zocalo"\n')
    with pytest.raises(UsageError, match=r"must be a table: \[broker\]") as error:
        load_site(tmp_path / "site.toml")
    assert "secret" not in str(error.value)


def test_without_a_beamline_what_is_for_gda_goes_to_this_machine(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text("[services.notify_gda]\nport = 9000\n")
    site = load_site(tmp_path / "site.toml")
    assert site.beamline == "local"
    assert site.plan_of("notify_gda").configuration == {"host": "127.0.0.1", "port": 9000}
    (tmp_path / "site.toml").write_text('[beamline]\nname = "i03"\n')
    assert load_site(tmp_path / "site.toml").plan_of("notify_gda").configuration == {}


def test_own_keys_of_services_are_checked_with_their_line_whatever_command_reads_the_file() -> None:
    told = problems(
        """[services.images]
binnning = 2
brightness = "much"
prefetsh = 3
unheard_of = 1
[services.image_selection]
x = 1
[services.dispatcher]
lint = "maybe"
folders = {resluts = "/x"}
[services.per_image_analysis]
open_files = 0
[services.notify_gda]
host_map = {a = 3}
"""
    )
    assert [line.partition("; services")[0] for line in told] == [
        "site.toml:2: services.images.binnning is not a key; did you mean binning?",
        'site.toml:3: services.images.brightness is "much"; it must be a number',
        "site.toml:4: services.images.prefetsh is not a key; did you mean prefetch?",
        "site.toml:5: services.images.unheard_of is not a key",
        "site.toml:7: services.image_selection.x is not a key",
        'site.toml:9: services.dispatcher.lint is "maybe"; it can be reject or warn',
        "site.toml:10: services.dispatcher.folders.resluts is not a key; did you mean results?",
        "site.toml:11: services.per_image_analysis cannot be used: open_files is 1 to 1000,"
        " images_per_turn 1 to 10000, retry_s above 0 and up to 600",
        "site.toml:14: services.notify_gda.host_map.a is 3; it must be text",
    ]


def test_every_service_of_glimt_has_the_record_of_its_table() -> None:
    assert list(CONFIGURATIONS) == list(SERVICES)
    for name, path in CONFIGURATIONS.items():
        module, _, record = path.partition(":")
        assert module == SERVICES[name].partition(":")[0]
        assert issubclass(getattr(importlib.import_module(module), record), msgspec.Struct)


def test_keys_that_have_no_effect_on_a_plug_in_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "plugin_of_site_test.py").write_text(
        "class CommonService:\n    pass\n\nclass Counter(CommonService):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    told = problems('[services."plugin_of_site_test:Counter"]\nprefetch = 3\ninstances = 2\nlimit = 5\n')
    assert told == [
        'site.toml:2: services."plugin_of_site_test:Counter".prefetch has no effect on a plug-in of python-workflows,'
        " which says by itself what it subscribes to and how (prefetch_count); leave it out"
    ]


def test_numbers_that_are_none_are_refused_as_what_they_are() -> None:
    told = problems('[services.ispyb]\nwait_s = nan\n[services."my_package.module:MyService"]\nlimit = inf\n')
    assert told == [
        "site.toml:2: services.ispyb.wait_s is nan; it must be a finite number",
        'site.toml:4: services."my_package.module:MyService".limit is inf; it must be a finite number',
    ]
