"""Where a database is reached: read from URLs and live connections, and connected to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine

from alembic_safe.database.endpoint import Endpoint
from alembic_safe.errors import Missing
from tests.cluster import closed_port
from tests.scram import Guarded, guarded_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cluster import Cluster


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    yield from guarded_server()


def of(url: str) -> Endpoint:
    return Endpoint.from_url(make_url(url))


def live(url: str | URL, **engine: object) -> Endpoint:
    made = sa.create_engine(url, poolclass=sa.NullPool, **engine)
    with made.connect() as connection:
        return Endpoint.from_connection(connection)


def test_a_url_is_read_part_by_part() -> None:
    endpoint = of(
        "postgresql+psycopg://deploy:s3cr%40t@db.prod.internal:5433/shop?sslmode=verify-full&sslrootcert=ca.pem"
    )
    assert (endpoint.host, endpoint.port, endpoint.user, endpoint.database) == (
        "db.prod.internal",
        5433,
        "deploy",
        "shop",
    )
    assert endpoint.password == "s3cr@t"
    assert endpoint.parameters == (("sslmode", "verify-full"), ("sslrootcert", "ca.pem"))


def test_no_secret_stands_in_the_text_of_an_endpoint() -> None:
    endpoint = of("postgresql+psycopg://deploy:hunter2@h/shop?sslpassword=hunter3&sslkey=k.pem")
    for text in (repr(endpoint), str(endpoint), endpoint.shown, endpoint.conninfo()):
        assert "hunter" not in text
    assert endpoint.secrets == (("sslpassword", "hunter3"),)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://u@db.prod.internal/shop", "shop on db.prod.internal"),
        ("postgresql+psycopg://u@db.prod.internal:6432/shop", "shop on db.prod.internal:6432"),
        ("postgresql+psycopg://u@/shop?hostaddr=10.0.0.7", "shop on 10.0.0.7"),
        ("postgresql+psycopg://u@/shop", "shop on the local socket"),
    ],
)
def test_a_place_is_shown_without_its_usual_port(url: str, shown: str) -> None:
    assert of(url).shown == shown


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("postgresql+psycopg://u@localhost/d", True),
        ("postgresql+psycopg://u@127.8.9.1/d", True),
        ("postgresql+psycopg://u@[::1]/d", True),
        ("postgresql+psycopg://u@[::ffff:127.0.0.1]/d", True),
        ("postgresql+psycopg://u@/d?host=/run/postgresql", True),
        ("postgresql+psycopg://u@/d", True),
        ("postgresql+psycopg://u@localhost/d?hostaddr=127.0.0.1", True),
        ("postgresql+psycopg://u@db.prod.internal/d?hostaddr=127.0.0.1", False),
        ("postgresql+psycopg://u@localhost/d?hostaddr=10.0.0.1", False),
        ("postgresql+psycopg://u@localhost.example.com/d", False),
        ("postgresql+psycopg://u@128.0.0.1/d", False),
        ("postgresql+psycopg://u@/d?host=localhost&host=db2", False),
        ("postgresql+psycopg://u@/d?service=production", False),
    ],
)
def test_only_a_server_on_this_machine_is_loopback(url: str, loopback: bool) -> None:
    assert of(url).is_loopback is loopback


def test_a_host_from_the_environment_is_not_taken_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.prod.internal")
    monkeypatch.setenv("PGPORT", "5544")
    endpoint = of("postgresql+psycopg://u@/d")
    assert (endpoint.host, endpoint.port, endpoint.is_loopback) == ("db.prod.internal", 5544, False)


def test_words_of_asyncpg_become_those_of_libpq() -> None:
    endpoint = of("postgresql+asyncpg://u:p@h/d?ssl=verify-full&prepared_statement_cache_size=0")
    assert endpoint.parameters == (("sslmode", "verify-full"),)
    assert (endpoint.user, endpoint.password, endpoint.database) == ("u", "p", "d")


def test_the_socket_of_pg8000_becomes_folder_and_port() -> None:
    endpoint = of("postgresql+pg8000://u@/d?unix_sock=/run/postgresql/.s.PGSQL.5499")
    assert (endpoint.host, endpoint.port) == ("/run/postgresql", 5499)


def test_a_driver_that_is_not_installed_is_read_from_the_url() -> None:
    endpoint = of("postgresql+nobodysdriver://u:p@h:5499/d?sslmode=require")
    assert (endpoint.host, endpoint.port, endpoint.user, endpoint.database, endpoint.password) == (
        "h",
        5499,
        "u",
        "d",
        "p",
    )
    assert endpoint.parameters == (("sslmode", "require"),)


def test_a_live_connection_tells_the_host_that_was_reached(cluster: Cluster, database: str) -> None:
    with closed_port() as nobody:
        hosts = f"host=127.0.0.1:{nobody}&host=localhost:{cluster.port}"
        endpoint = live(f"postgresql+psycopg://postgres@/{database}?{hosts}&connect_timeout=60")
    assert (endpoint.host, endpoint.port, endpoint.database) == ("localhost", cluster.port, database)
    with endpoint.connect() as connection:
        assert connection.info.port == cluster.port


def test_a_live_connection_keeps_an_address_that_was_asked_for(cluster: Cluster, database: str) -> None:
    endpoint = live(cluster.url(database, host="db.prod.internal"))
    assert endpoint.shown == f"{database} on db.prod.internal:{cluster.port}"
    assert dict(endpoint.parameters)["hostaddr"] == "127.0.0.1"
    assert not endpoint.is_loopback
    with endpoint.connect() as connection:
        assert connection.info.dbname == database


def test_a_live_connection_through_a_socket_is_followed(cluster: Cluster, database: str) -> None:
    endpoint = live(f"postgresql+psycopg://postgres@/{database}?host={cluster.folder}&port={cluster.port}")
    assert (endpoint.host, endpoint.is_loopback) == (str(cluster.folder), True)
    with endpoint.connect() as connection:
        assert connection.info.host == str(cluster.folder)


def test_options_travel_with_the_endpoint(cluster: Cluster, database: str) -> None:
    endpoint = live(
        cluster.url(database), connect_args={"options": "-c statement_timeout=7s -c search_path=pg_catalog"}
    )
    with endpoint.connect() as connection:
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)


def test_a_password_that_an_event_puts_in_is_found(guarded: Guarded) -> None:
    url = URL.create("postgresql+psycopg", guarded.user, None, "127.0.0.1", guarded.port, "postgres")
    engine = sa.create_engine(url, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "do_connect")
    def put_in(_dialect: object, _record: object, _args: object, parameters: dict[str, object]) -> None:
        parameters["password"] = guarded.password

    with engine.connect() as connection:
        endpoint = Endpoint.from_connection(connection)
    assert endpoint.password == guarded.password
    with endpoint.connect() as connection:
        assert connection.info.user == guarded.user


def test_a_creator_is_followed_instead_of_the_url(guarded: Guarded) -> None:
    endpoint = live("postgresql+psycopg://", creator=guarded.connect)
    assert (endpoint.host, endpoint.port, endpoint.user) == ("127.0.0.1", guarded.port, guarded.user)
    with endpoint.connect(database="template1") as connection:
        assert connection.info.dbname == "template1"


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg"])
def test_an_async_engine_tells_place_and_password(guarded: Guarded, driver: str) -> None:
    url = URL.create(driver, guarded.user, guarded.password, "127.0.0.1", guarded.port, "postgres")

    async def read() -> Endpoint:
        engine = create_async_engine(url, poolclass=sa.NullPool)
        async with engine.connect() as connection:
            found = await connection.run_sync(Endpoint.from_connection)
        await engine.dispose()
        return found

    endpoint = asyncio.run(read())
    assert (endpoint.host, endpoint.port, endpoint.user) == ("127.0.0.1", guarded.port, guarded.user)
    with endpoint.connect() as connection:
        assert connection.info.dbname == "postgres"


def test_asyncpg_over_a_socket_with_a_late_password_is_followed(guarded: Guarded) -> None:
    folder, port = guarded.cluster.folder, guarded.port
    url = URL.create(
        "postgresql+asyncpg", guarded.user, None, None, None, "postgres", {"host": str(folder), "port": str(port)}
    )
    engine = create_async_engine(url, poolclass=sa.NullPool, connect_args={"password": guarded.password})

    async def read() -> Endpoint:
        async with engine.connect() as connection:
            found = await connection.run_sync(Endpoint.from_connection)
        await engine.dispose()
        return found

    endpoint = asyncio.run(read())
    assert (endpoint.host, endpoint.port, endpoint.password) == (str(folder), port, guarded.password)
    with endpoint.connect() as connection:
        assert connection.info.host == str(folder)


@pytest.mark.parametrize(
    "name",
    [
        "Shop",
        "two words",
        'quo"te',
        "it's",
        "dot.ted",
        "50%",
        "back\\slash",
        "k=v",
        "n" * 63,
        "gr\u00f6\u00dfe",
        " edges ",
    ],
)
def test_a_database_of_any_name_is_reached(cluster: Cluster, make_database: Callable[..., str], name: str) -> None:
    make_database(name)
    endpoint = live(URL.create("postgresql+psycopg", "postgres", None, "127.0.0.1", cluster.port, name))
    assert endpoint.database == name
    with endpoint.connect() as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (name,)


def test_a_wrong_password_is_told_without_the_password(guarded: Guarded) -> None:
    endpoint = Endpoint("127.0.0.1", guarded.port, guarded.user, "postgres", password="wrong-hunter2")
    with pytest.raises(Missing) as caught:
        endpoint.connect()
    text = str(caught.value)
    assert caught.value.exit_code == 10
    assert f"host 127.0.0.1, port {guarded.port}, database postgres, user {guarded.user}" in text
    assert "password authentication failed" in text
    assert "the server answers" in text
    assert "hunter2" not in text


def test_a_database_that_does_not_exist_is_told_in_the_words_of_the_server(cluster: Cluster) -> None:
    with pytest.raises(Missing, match='database "nowhere" does not exist'):
        Endpoint("127.0.0.1", cluster.port, "postgres", "nowhere").connect()


def test_a_server_that_is_not_there_is_told_with_the_way_to_look() -> None:
    with closed_port() as port, pytest.raises(Missing) as caught:
        Endpoint("127.0.0.1", port, "postgres", "shop").connect()
    assert f"pg_isready -h 127.0.0.1 -p {port}" in str(caught.value)
    assert "nothing answers there" in str(caught.value)
    assert str(caught.value).endswith("Nothing was changed.")


def test_a_connection_of_our_own_names_itself_and_prepares_nothing(cluster: Cluster, database: str) -> None:
    with Endpoint("127.0.0.1", cluster.port, "postgres", database).connect() as connection:
        for _ in range(8):
            connection.execute(sql.SQL("SELECT {}").format(sql.Literal(1)))
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        assert connection.execute("SHOW application_name").fetchone() == ("alembic-safe",)
        assert connection.autocommit
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_what_libpq_does_by_itself_is_not_carried_along() -> None:
    endpoint = of(
        "postgresql+psycopg://u@h/d?sslmode=prefer&gssencmode=prefer&target_session_attrs=read-write&nonsense=1"
    )
    assert endpoint.parameters == (("target_session_attrs", "read-write"),)
