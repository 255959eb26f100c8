"""A catalog from the text of a schema dump."""

from __future__ import annotations

import pytest

from rsql_magic.context import Catalog
from rsql_magic.sql import ForeignKey, ddl, validate


def test_tables_keys_and_comments():
    catalog = Catalog.from_ddl(
        """
        -- a dump
        SET client_encoding = 'UTF8';
        CREATE TABLE public.Customers (
            id integer NOT NULL,
            "Mixed Name" varchar(20), -- as printed
            CONSTRAINT pk PRIMARY KEY (id)
        );
        CREATE TABLE public.orders (
            id serial PRIMARY KEY,
            customer integer REFERENCES public.customers,
            amount numeric(10, 2) DEFAULT 0 CHECK (amount > 0)
        );
        INSERT INTO orders VALUES (1, 2, 'a;b');
        ALTER TABLE ONLY public.orders ADD CONSTRAINT u UNIQUE (customer, amount);
        COMMENT ON TABLE public.orders IS 'One row per order';
        COMMENT ON COLUMN public.orders.amount IS 'EUR';
        CREATE VIEW totals AS SELECT customer, sum(amount) AS total FROM orders GROUP BY customer;
        CREATE INDEX i ON orders (customer);
        CREATE FUNCTION f() RETURNS int AS $$ BEGIN DELETE FROM x; END $$ LANGUAGE plpgsql;
        """,
        "postgres",
    )
    assert {t.full_name: t.kind for t in catalog} == {
        "public.customers": "table",
        "public.orders": "table",
        "totals": "view",
    }
    orders = catalog["orders"]
    assert (orders.primary_key, orders.description) == (("id",), "One row per order")
    assert orders.foreign_keys == (ForeignKey(("customer",), "public.customers", ("id",)),)
    assert orders.column("amount").description == "EUR"
    customers = catalog["public.customers"]
    assert [c.name for c in customers.columns] == ["id", "Mixed Name"]
    assert customers.column("Mixed Name").description == "as printed"
    assert not customers.column("id").nullable
    assert catalog.problems == ()


def test_a_single_schema_is_the_default():
    catalog = Catalog.from_ddl(
        "CREATE TABLE dbo.a (x INT PRIMARY KEY); CREATE TABLE dbo.b (x INT REFERENCES dbo.a (x));", "tsql"
    )
    assert (catalog.schema, [t.full_name for t in catalog]) == ("dbo", ["a", "b"])
    assert catalog["b"].foreign_keys[0].table == "a"
    assert catalog["dbo.b"] is catalog["b"]


def test_t_sql_needs_no_semicolons():
    text = (
        "CREATE TABLE a ([x y] INT)\nCREATE TABLE b (n INT)\nGO\nALTER TABLE b ADD CONSTRAINT k PRIMARY KEY (n)\nGO\n"
    )
    catalog = Catalog.from_ddl(text, "tsql")
    assert [t.name for t in catalog] == ["a", "b"]
    assert catalog["b"].primary_key == ("n",)


def test_mysql_dumps():
    text = """
    CREATE TABLE `t` (
      `id` int(11) NOT NULL AUTO_INCREMENT COMMENT 'it''s the key',
      `o` int DEFAULT NULL,
      PRIMARY KEY (`id`), UNIQUE KEY `u` (`o`), KEY `k` (`o`)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='things';
    """
    [table] = Catalog.from_ddl(text, "mysql")
    assert (table.description, table.primary_key) == ("things", ("id",))
    assert table.column("id").description == "it's the key"


def test_one_bad_statement_costs_no_other():
    catalog = Catalog.from_ddl(
        "CREATE TABLE good (a INT); CREATE TABLE bad (; CREATE TABLE odd (a INT, b BLOB SUB_TYPE TEXT, c INT);",
        "sqlite",
    )
    assert [(t.name, len(t.columns)) for t in catalog] == [("good", 1), ("bad", 0), ("odd", 3)]
    assert [c.name for c in catalog["odd"].columns] == ["a", "b", "c"]
    assert len(catalog.problems) == 1
    assert "bad" in catalog.problems[0]


@pytest.mark.parametrize("text", ["", "   ", "not sql at all", "CREATE TABLE", "'never ends"])
def test_nothing_to_read_gives_an_empty_catalog(text):
    assert len(Catalog.from_ddl(text, "duckdb")) == 0


def test_what_ddl_writes_can_be_read_again():
    text = 'CREATE TABLE a (id INTEGER PRIMARY KEY, "order" TEXT); CREATE TABLE b (a_id INTEGER REFERENCES a (id));'
    catalog = Catalog.from_ddl(text, "duckdb")
    again = Catalog.from_ddl("\n".join(ddl(t, dialect="duckdb") for t in catalog), "duckdb")
    assert again.tables == catalog.tables


def test_a_table_whose_columns_cannot_be_told_may_be_asked_all_the_same():
    catalog = Catalog.from_ddl("CREATE TABLE x AS SELECT * FROM y", "duckdb")
    assert catalog["x"].columns == ()
    assert len(catalog.problems) == 1
    assert validate("SELECT a FROM x", "duckdb", catalog) == []


DUMPS = {
    "bigquery": (
        """CREATE TABLE `p.d.events` (id INT64 NOT NULL OPTIONS(description="the id"), s STRUCT<a INT64>,
        PRIMARY KEY (id) NOT ENFORCED) PARTITION BY DATE(d) OPTIONS(description='all events');""",
        {"p.d.events": "id s"},
    ),
    "databricks": (
        "CREATE TABLE main.s.t (id BIGINT GENERATED ALWAYS AS IDENTITY, a STRING) CLUSTER BY (a);",
        {"main.s.t": "id a"},
    ),
    "mysql": (
        """CREATE TABLE t (id int, KEY k (id)) ENGINE=InnoDB;
        DELIMITER ;;
        CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN SET NEW.id = 1; END ;;
        DELIMITER ;
        CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`localhost` SQL SECURITY DEFINER VIEW v AS select id AS n from t;""",
        {"t": "id", "v": "n"},
    ),
    "oracle": (
        """CREATE TABLE "HR"."EMP" ("ID" NUMBER(6,0), "N" VARCHAR2(25 BYTE) CONSTRAINT nn NOT NULL ENABLE,
        PRIMARY KEY ("ID") USING INDEX TABLESPACE x ENABLE) SEGMENT CREATION IMMEDIATE TABLESPACE "USERS";""",
        {"EMP": "ID N"},
    ),
    "postgres": (
        r"""CREATE TABLE public.film (id integer NOT NULL, title text);
        CREATE TABLE public.old PARTITION OF public.film FOR VALUES FROM (1) TO (2);
        CREATE TABLE public.short (minutes int) INHERITS (public.film);
        CREATE TABLE c (LIKE public.film INCLUDING ALL, more int);
COPY public.film (id, title) FROM stdin;
1	a; b
2	CREATE TABLE nope (x int);
\.
        ALTER TABLE ONLY public.film ADD CONSTRAINT k PRIMARY KEY (id);
        ALTER TABLE public.film OWNER TO postgres;
        CREATE MATERIALIZED VIEW mv AS SELECT title, count(*) AS n FROM public.film GROUP BY title WITH NO DATA;
        CREATE FOREIGN TABLE ft (a int, b text) SERVER s OPTIONS (x 'y');""",
        {
            "public.film": "id title",
            "public.old": "id title",
            "public.short": "id title minutes",
            "c": "id title more",
            "mv": "title n",
            "ft": "a b",
        },
    ),
    "sqlite": (
        """CREATE TABLE w (a INT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID;
        CREATE VIRTUAL TABLE docs USING fts5(title, body, tokenize='porter');
        CREATE TRIGGER t AFTER INSERT ON w BEGIN UPDATE w SET a = 1; END;""",
        {"w": "a b", "docs": "title body"},
    ),
    "tsql": (
        """CREATE TABLE [dbo].[Lines]([ID] [int] IDENTITY(1,1) NOT NULL, [Price] [money] NULL,
        CONSTRAINT [PK] PRIMARY KEY CLUSTERED ([ID] ASC) WITH (PAD_INDEX = OFF) ON [PRIMARY]) ON [PRIMARY]
        GO
        CREATE TABLE dbo.Orders (ID int PRIMARY KEY NONCLUSTERED, d datetime2(7), INDEX ix (d));""",
        {"Lines": "ID Price", "Orders": "ID d"},
    ),
}


@pytest.mark.parametrize("dialect", DUMPS)
def test_dumps_as_tools_write_them(dialect):
    text, expected = DUMPS[dialect]
    catalog = Catalog.from_ddl(text, dialect)
    assert {t.full_name: " ".join(c.name for c in t.columns) for t in catalog} == expected
    assert catalog.problems == ()
    if dialect not in {"databricks", "mysql"}:
        assert next(iter(catalog)).primary_key
