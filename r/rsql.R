# rsql for R: ask() and sql_ai(), with IRkernel, in RStudio, or by Rscript.
#
#     source(system2("rsql", "r-file", stdout = TRUE))
#     ask("Which columns of weather have missing values?")
#     sql_ai("How many orders per month?", con)
#
# Needs httr2 and jsonlite; sql_ai() also DBI. The gateway is found as a notebook finds it (docs/r.md). Objects are
# described, questions are filtered and queries are checked by the `rsql` command, so R and Python share one privacy
# filter and one guard. Where the command is missing, names and types are all that is told, and no query is run.

local({
  state <- new.env(parent = emptyenv())
  state$turns <- list()

  # A model's words without what a terminal would obey (escape sequences, control characters), and without marks that turn
  # the direction of what follows, by which text can show something else than it says.
  printable <- function(text) {
    text <- gsub("\r\n?", "\n", enc2utf8(text))
    for (pattern in c(escape_sequence, control_character)) text <- gsub(pattern, "", text, perl = TRUE)
    text
  }
  escape_sequence <- paste0(
    "(*UTF)(?:\\x1b\\[|\\x{9b})[0-?]*[ -/]*[@-~]?",
    "|(?:\\x1b[\\]PX^_]|[\\x{90}\\x{98}\\x{9d}-\\x{9f}])[^\\x07\\x1b\\x{9c}\\n]*(?:\\x07|\\x1b\\\\|\\x{9c})?",
    "|\\x1b[ -/]*[0-~]?"
  )
  control_character <- "(*UTF)[\\x01-\\x08\\x0b-\\x1f\\x7f\\x{80}-\\x{9f}\\x{202a}-\\x{202e}\\x{2066}-\\x{2069}]"
  unfinished_sequence <- paste0(
    "(*UTF)(?:\\x1b\\[|\\x{9b})[0-?]*[ -/]*\\z",
    "|(?:\\x1b[\\]PX^_]|[\\x{90}\\x{98}\\x{9d}-\\x{9f}])[^\\x07\\x1b\\x{9c}\\n]{0,4000}\\x1b?\\z",
    "|\\x1b[ -/]*\\z|\\r\\z"
  )

  fail <- function(...) stop(printable(paste0(...)), call. = FALSE)

  is_text <- function(value, what) {
    if (!is.character(value) || length(value) != 1L || is.na(value)) fail(what, " is one text in quotes.")
  }

  is_number <- function(value, name, least) {
    if (!is.numeric(value) || length(value) != 1L || is.na(value) || value < least) fail(name, " is a number of at least ", least, ".")
  }

  # The folder of this file, which holds the other parts.
  home <- local({
    files <- Filter(Negate(is.null), lapply(sys.frames(), function(frame) frame$ofile))
    if (length(files)) dirname(normalizePath(files[[length(files)]], mustWork = FALSE)) else ""
  })
  parts <- file.path(home, c("prompts.R", "command.R", "gateway.R", "session.R", "database.R", "rows.R"))
  if (!nzchar(home) || !all(file.exists(parts))) {
    fail("rsql.R needs the files that come beside it: source(\"\u2026/rsql.R\") in the folder that has them all.")
  }
  for (part in parts) sys.source(part, environment())

  need <- function(...) {
    missing <- Filter(function(package) !requireNamespace(package, quietly = TRUE), c(...))
    if (length(missing)) {
      fail(
        "This needs ", paste(missing, collapse = " and "), ". Install: install.packages(c(\"",
        paste(missing, collapse = "\", \""), "\"))"
      )
    }
  }

  # ---- ask ----

  ask <- function(question = "", with = character(), model = getOption("rsql.model"),
                  privacy = getOption("rsql.privacy", "stats"), new = FALSE, show_context = FALSE, quiet = FALSE) {
    is_text(question, "The question")
    error <- if (nzchar(trimws(question))) "" else last_error() # first: what is done below may fail inside, and be that
    need("httr2", "jsonlite")
    if (new) state$turns <- list()
    if (!nzchar(trimws(question))) question <- "Explain the last error, and show the corrected code."
    told <- described(question, allowed(privacy), with, error)
    user <- fill("question", context = told$context, question = told$question)
    messages <- c(list(message_of("system", fill("ask", lang = "Write R, in a ```r block."))), state$turns, list(message_of("user", user)))
    if (show_context) return(cat(would_send(messages), "\n", sep = ""))
    started <- proc.time()[["elapsed"]]
    values <- told$rsql
    if (length(values)) values$history <- earlier_turns()
    reply <- stream(messages, model, "ask", if (quiet) silent else printed, values)
    if (!quiet) cat("\n\n", usage_line(reply, proc.time()[["elapsed"]] - started), "\n", sep = "")
    remember(told$question, reply$text)
    answer <- list(
      text = reply$text, code = block_of(spoken(reply$text), "r"), model = reply$model, usage = reply$usage, context = told$context,
      shown = !quiet
    )
    invisible(structure(answer, class = "rsql_answer"))
  }

  # All that a question would send, with what the administrator's policy puts before it.
  would_send <- function(messages) {
    before <- policy()$system_prompt %||% ""
    if (nzchar(before)) messages[[1]]$content <- paste0(before, "\n\n", messages[[1]]$content)
    said <- vapply(messages, function(one) paste0("[", one$role, "]\n", one$content), "")
    paste0(paste(said, collapse = "\n\n"), "\n\nNothing was sent.")
  }

  message_of <- function(role, content) list(role = role, content = content)

  earlier_turns <- function() {
    said <- vapply(state$turns, `[[`, "", "content")
    lapply(2L * seq_len(length(said) %/% 2L), function(n) list(question = said[n - 1L], answer = said[n]))
  }

  # The last turns, questions without their context.
  remember <- function(question, answer) {
    state$turns <- c(state$turns, list(message_of("user", question), message_of("assistant", answer)))
    while (length(state$turns) > 2L && sum(nchar(vapply(state$turns, `[[`, "", "content"))) > 4000L) {
      state$turns <- state$turns[-(1:2)]
    }
  }

  # The first fenced block of a language; empty when there is none.
  block_of <- function(text, language) {
    lines <- strsplit(text, "\n", fixed = TRUE)[[1]]
    start <- grep(paste0("^\\s*```+\\s*", language, "\\s*$"), lines, ignore.case = TRUE)[1]
    if (is.na(start)) return("")
    end <- start + grep("^\\s*```+\\s*$", lines[-seq_len(start)])[1]
    if (is.na(end)) return("")
    paste(lines[seq_len(end - start - 1L) + start], collapse = "\n")
  }

  # ---- sql_ai ----

  sql_ai <- function(question, con = the_connection(), run = TRUE, max_rows = 1000, timeout = 60, retries = 3,
                     model = getOption("rsql.model"), quiet = FALSE) {
    is_text(question, "The question")
    if (!nzchar(trimws(question))) fail("There is no question. Write it first: sql_ai(\"How many orders?\", con).")
    for (name in c("max_rows", "timeout", "retries")) is_number(get(name), name, if (name == "retries") 0 else 1)
    need("httr2", "jsonlite", "DBI")
    dialect <- dialect_of(con)
    schema <- schema_of(con, dialect)
    told <- sql_context(question, schema, dialect)
    # The date only where the question counts from it, so that the same question sends the same words tomorrow.
    note_dictionary(told$note, quiet)
    more <- told$more %||% ""
    values <- told$rsql
    if (!isFALSE(told$asks_of_now)) {
      if (length(values)) values$today <- format(Sys.Date())
      more <- paste0(more, sprintf("<session today=\"%s\" time_zone=\"%s\">\n\n", format(Sys.Date()), format(Sys.time(), "%Z")))
    }
    fields <- list(context = told$context, question = told$question, more = more)
    first <- list(message_of("system", fill("sql", dialect = title_of(dialect))), message_of("user", do.call(fill, c("sql_question", fields))))
    messages <- first
    new_round <- rounds()
    doubted <- NULL # a draft that runs, and what the data have against it
    by_dictionary <- FALSE # whether the model was told what goes against the dictionary, which is once
    for (attempt in 0:retries) {
      reply <- stream(messages, model, "sql_ai", silent, values)
      early <- ended_early(reply$reason)
      if (nzchar(early) && !grepl("longest answer", early, fixed = TRUE)) fail(early, " Its query is not run.")
      sql <- block_of(spoken(reply$text), "sql")
      if (!nzchar(sql)) fail(substr(gsub("\\s+", " ", trimws(spoken(reply$text))), 1L, 600L))
      if (!has_command()) return(not_run(sql))
      rows <- function(sql) if (run) result(con, dialect, sql, max_rows, timeout, quiet) else shown_sql(sql, quiet)
      about <- list(question = question, told = by_dictionary, last = attempt == retries, con = if (run) con)
      tried <- try_draft(sql, dialect, schema, rows, if (quiet) silent_round else new_round, about)
      if (is.null(tried$problems)) {
        if (!quiet) for (one in tried$notes) message(printable(one))
        return(if (run) structure(tried$value, notes = tried$notes) else invisible(tried$value))
      }
      by_dictionary <- by_dictionary || isTRUE(tried$told)
      problems <- tried$problems
      if (length(tried$doubted)) doubted <- tried
      redacted <- command_or("redact", problems)
      wrong <- paste0("- ", redacted, collapse = "\n")
      if (length(tried$proposed)) wrong <- paste0(wrong, "\n\n", fill("proposed", sql = tried$proposed))
      if (length(values)) values[c("task", "sql", "problems")] <- list("repair", tried$sql, as.list(redacted))
      # Below the question: small models copy a draft that stands as an answer of their own.
      repair <- fill("repair", sql = tried$sql, problems = wrong, context = "")
      messages <- list(first[[1]], message_of("user", paste0(first[[2]]$content, "\n\n", repair)))
    }
    if (length(doubted)) {
      if (!quiet) for (one in doubted$problems) message(printable(one))
      value <- rows(doubted$doubted)
      return(if (run) structure(value, notes = doubted$problems) else invisible(value))
    }
    fail("No query passed its checks in ", retries + 1L, " attempts: ", paste(problems, collapse = " "))
  }

  # One draft, and what rules make of it before the model is asked again: the rows, or what is wrong with it. A slip that
  # only the database notices is mended once.
  try_draft <- function(sql, dialect, schema, rows, said, about) {
    refused <- ""
    repeat {
      checked <- by_command(
        "check", sql = sql, dialect = dialect, ddl = schema, mend = TRUE, refused = refused, question = about$question,
        told = about$told, dictionary = dictionary(), look = length(about$con) > 0L
      )
      against <- if (length(about$con)) said_by_counts(about$con, dialect, checked)
      if (length(against) && !about$told && !about$last) {
        said(against[[1]])
        return(list(sql = sql, problems = against, told = TRUE, doubted = checked$sql))
      }
      if (!is.null(checked$problems)) {
        said(checked$problems[[1]])
        return(list(sql = sql, problems = unlist(checked$problems), proposed = checked$proposed, told = checked$told))
      }
      if (length(checked$mended)) {
        said(checked$wrong[[1]])
        said("mended without asking: ", paste(unlist(checked$mended), collapse = "; "))
      }
      again <- nzchar(refused)
      sql <- checked$sql
      notes <- c(unlist(checked$said), against)
      refused <- tryCatch(return(list(value = rows(sql), notes = notes)), error = conditionMessage)
      if (again) {
        said(refused)
        return(list(sql = sql, problems = refused))
      }
    }
  }

  # Says what became of each draft; a mended one is a draft of its own.
  rounds <- function() {
    draft <- 0L
    function(...) {
      draft <<- draft + 1L
      message(printable(paste0("draft ", draft, ": ", ...)))
    }
  }
  silent_round <- function(...) invisible()

  command_or <- function(what, text) if (has_command()) command(what, text) else masked(text)

  the_connection <- function() {
    session <- reader()
    looked <- Filter(function(name) !nzchar(if (is.null(session)) unread(name) else session$unread(name)), ls(globalenv()))
    open <- Filter(function(name) inherits(get(name, envir = globalenv()), "DBIConnection"), looked)
    if (length(open) != 1L) fail("Name the connection: sql_ai(\"\u2026\", con), with a DBI connection.")
    get(open, envir = globalenv())
  }

  sql_context <- function(question, schema, dialect) {
    if (has_command()) {
      return(by_command("link", question = question, ddl = schema, dialect = dialect, dictionary = dictionary()))
    }
    question <- masked(question)
    values <- list(task = "sql", question = question, dialect = dialect, tables = attr(schema, "tables"))
    list(context = fence("schema", "database", schema), question = question, rsql = values)
  }

  # A file of the user's choice, FALSE for none, or NULL for one in the working directory.
  dictionary <- function() getOption("rsql.dictionary")

  # Says once which dictionary describes the tables, or why none does.
  note_dictionary <- function(note, quiet) {
    if (!quiet && nzchar(note %||% "") && !identical(note, state$dictionary)) message(printable(note))
    state$dictionary <- note
  }

  shown_sql <- function(sql, quiet) {
    if (!quiet) cat(sql, "\n\n", sep = "")
    invisible(sql)
  }

  not_run <- function(sql) {
    cat(sql, "\n", sep = "")
    message("Not run: the rsql command, which checks queries, was not found. Install it: pip install rsql-jupyter")
    invisible(sql)
  }

  registerS3method("print", "rsql_answer", function(x, ...) {
    cat(x$text, "\n", sep = "")
    invisible(x)
  })

  if ("rsql" %in% search()) detach("rsql", character.only = TRUE)
  attach(list(ask = ask, ask_rows = ask_rows, sql_ai = sql_ai, rsql_status = rsql_status), name = "rsql", warn.conflicts = FALSE)
})
