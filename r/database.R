# A database behind DBI: its dialect, its tables as DDL, and the rows of a query that was checked.

dialect_of <- function(con) {
  if (!inherits(con, "DBIConnection")) fail("sql_ai() asks a DBI connection, not a ", class(con)[1], ".")
  known <- c(
    SQLite = "sqlite", duckdb = "duckdb", Pq = "postgres", Postgre = "postgres", MariaDB = "mysql", MySQL = "mysql",
    "SQL Server" = "tsql", Oracle = "oracle", BigQuery = "bigquery", Snowflake = "snowflake", Redshift = "redshift"
  )
  kind <- paste(c(class(con), tryCatch(DBI::dbGetInfo(con)$dbms.name, error = function(e) NULL)), collapse = " ")
  found <- known[vapply(names(known), grepl, NA, x = kind, fixed = TRUE)]
  if (!length(found)) fail("The SQL of a ", class(con)[1], " is not known.")
  found[[1]]
}

# What people call a dialect.
title_of <- function(dialect) {
  titles <- c(
    sqlite = "SQLite", duckdb = "DuckDB", postgres = "PostgreSQL", mysql = "MySQL", tsql = "SQL Server",
    oracle = "Oracle", bigquery = "BigQuery", snowflake = "Snowflake", redshift = "Redshift"
  )
  titles[[dialect]]
}

# Tables and columns as DDL: names and types, no values. `attr(, "tables")` has them as values.
schema_of <- function(con, dialect) {
  columns <- columns_of(con, dialect)
  text <- if (dialect == "sqlite") sqlite_schema(con, columns) else created(con, columns)
  if (!nzchar(text)) fail("This database has no tables.")
  structure(text, tables = as_values(columns))
}

# One row for each column: its table and schema, its name and type.
columns_of <- function(con, dialect) {
  if (dialect %in% c("postgres", "mysql", "duckdb", "tsql")) return(standard_columns(con, dialect))
  read <- if (dialect == "sqlite") declared_columns else result_columns
  do.call(rbind, lapply(DBI::dbListTables(con), function(table) {
    about <- read(con, table)
    data.frame(schema = "", table = table, column = about$name, type = about$type)
  }))
}

# What was declared; views have no statement that tells it.
sqlite_schema <- function(con, columns) {
  own <- DBI::dbGetQuery(con, "SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql IS NOT NULL")
  views <- DBI::dbGetQuery(con, "SELECT name FROM sqlite_master WHERE type = 'view'")$name
  paste(c(sprintf("%s;", own$sql), created(con, columns[columns$table %in% views, ])), collapse = "\n")
}

declared_columns <- function(con, table) {
  DBI::dbGetQuery(con, paste0("SELECT name, type FROM pragma_table_info(", DBI::dbQuoteString(con, table), ")"))
}

standard_columns <- function(con, dialect) {
  here <- DBI::dbGetQuery(con, switch(dialect,
    mysql = "SELECT DATABASE() AS s", tsql = "SELECT SCHEMA_NAME() AS s", "SELECT current_schema() AS s"
  ))[[1]]
  system <- "'information_schema', 'pg_catalog', 'mysql', 'performance_schema', 'sys'"
  columns <- DBI::dbGetQuery(con, paste(
    "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns",
    "WHERE table_schema NOT IN (", system, ") ORDER BY table_schema, table_name, ordinal_position"
  ))
  names(columns) <- c("schema", "table", "column", "type")
  columns$schema[columns$schema == here] <- ""
  columns
}

result_columns <- function(con, table) {
  sent <- DBI::dbSendQuery(con, paste("SELECT * FROM", quoted(con, table), "WHERE 1 = 0"))
  on.exit(DBI::dbClearResult(sent))
  DBI::dbColumnInfo(sent)
}

created <- function(con, columns) {
  if (!length(columns) || !nrow(columns)) return("")
  named <- paste0(ifelse(nzchar(columns$schema), paste0(quoted(con, columns$schema), "."), ""), quoted(con, columns$table))
  rows <- paste0("  ", quoted(con, columns$column), " ", columns$type)
  lines <- tapply(rows, factor(named, unique(named)), paste, collapse = ",\n")
  paste0("CREATE TABLE ", names(lines), " (\n", lines, "\n);", collapse = "\n")
}

as_values <- function(columns) {
  key <- paste(columns$schema, columns$table, sep = "\r")
  unname(lapply(split(columns, factor(key, unique(key))), function(table) {
    list(
      schema = table$schema[1], name = table$table[1],
      columns = unname(Map(function(name, type) list(name = name, type = type), table$column, table$type))
    )
  }))
}

quoted <- function(con, names) {
  ifelse(grepl("^[A-Za-z_][A-Za-z0-9_]*$", names), names, as.character(DBI::dbQuoteIdentifier(con, names)))
}

# The rows of a query that was checked; inside a read-only transaction where the database has them.
result <- function(con, dialect, sql, max_rows, timeout, quiet) {
  rows <- read_only(con, dialect, timeout, {
    sent <- DBI::dbSendQuery(con, sql)
    # Cleared here and not on exit: the transaction ends first otherwise, which no driver allows while rows are pending.
    # One row more: not every driver knows that there are none left.
    part <- tryCatch(DBI::dbFetch(sent, n = max_rows + 1), finally = DBI::dbClearResult(sent))
    structure(utils::head(part, max_rows), sql = sql, truncated = nrow(part) > max_rows)
  })
  shown_sql(sql, quiet)
  if (attr(rows, "truncated") && !quiet) message("The first ", max_rows, " rows; more with max_rows.")
  rows
}

# What the data have against a query that was checked: what is seen in it, and what the numbers tell that the command
# asks for. A number that the database refuses, or is late with, tells nothing.
said_by_counts <- function(con, dialect, checked) {
  count <- function(sql) tryCatch(read_only(con, dialect, 3, DBI::dbGetQuery(con, sql)[[1]][[1]]), error = function(e) NULL)
  told <- lapply(checked$asks, function(ask) {
    number <- count(ask$sql)
    if (length(number) && !is.na(number)) ask$said[[min(as.numeric(number), 2) + 1]]
  })
  unique(unlist(c(checked$found, told)))
}

read_only <- function(con, dialect, timeout, code) {
  setTimeLimit(elapsed = timeout, transient = TRUE)
  on.exit(setTimeLimit(), add = TRUE)
  milliseconds <- as.integer(1000 * timeout)
  if (dialect == "sqlite") {
    DBI::dbExecute(con, "PRAGMA query_only = ON")
    on.exit(DBI::dbExecute(con, "PRAGMA query_only = OFF"), add = TRUE)
  } else if (dialect == "postgres") {
    DBI::dbBegin(con)
    on.exit(DBI::dbRollback(con), add = TRUE)
    DBI::dbExecute(con, "SET TRANSACTION READ ONLY")
    DBI::dbExecute(con, paste("SET LOCAL statement_timeout =", milliseconds))
  } else if (dialect == "mysql") {
    # A query that is stopped while it is sent leaves a result that nobody has a name for, and nothing can follow it.
    on.exit(try(lapply(suppressWarnings(DBI::dbListResults(con)), DBI::dbClearResult), silent = TRUE), add = TRUE)
    mariadb <- grepl("MariaDB", DBI::dbGetQuery(con, "SELECT VERSION()")[[1]], fixed = TRUE)
    limit <- if (mariadb) "max_statement_time" else "max_execution_time"
    before <- DBI::dbGetQuery(con, paste0("SELECT @@", limit))[[1]]
    DBI::dbExecute(con, paste0("SET ", limit, " = ", if (mariadb) timeout else milliseconds))
    on.exit(DBI::dbExecute(con, paste0("SET ", limit, " = ", before)), add = TRUE)
    DBI::dbExecute(con, "START TRANSACTION READ ONLY")
    on.exit(DBI::dbExecute(con, "ROLLBACK"), add = TRUE)
  }
  eval(substitute(code), parent.frame())
}
