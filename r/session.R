# What is told of the R session, and what may leave of it.

# The most that may leave, by the administrator's policy.
allowed <- function(level) {
  levels <- c("names", "stats", "sample")
  if (!level %in% levels) fail("There is no privacy level \"", level, "\". There are: names, stats, sample.")
  floor <- policy()$privacy_floor %||% ""
  if (floor %in% levels) levels[min(match(c(level, floor), levels))] else level
}

# What the gateway says of the caller's rules; asked once.
policy <- function() {
  if (is.null(state$policy)) state$policy <- report_at("stats", otherwise = list())
  state$policy
}

`%||%` <- function(x, y) if (is.null(x)) y else x

# The reader of R sessions that ships with the command; it returns text and converts nothing.
reader <- function() {
  if (is.null(state$reader)) {
    places <- file.path(home, c("../context/session.R", "../rsql_magic/context/session.R"))
    place <- Filter(file.exists, places)
    if (!length(place)) return(NULL)
    state$reader <- new.env(parent = globalenv())
    sys.source(place[1], state$reader)
  }
  state$reader
}

# The last error with its calls; without the reader R's message only.
last_error <- function() {
  if (length(state$error)) return(trimws(state$error))
  message <- gsub("\\s*\n\\s*", " ", trimws(geterrmessage()))
  session <- reader()
  if (is.null(session)) message else paste(gsub("\x1d", "\n", c(message, session$last_error()[-1])), collapse = "\n")
}

# IRkernel keeps errors to itself: R's own geterrmessage() never hears of them. Its executor, which runs the cell that
# sources this file, tells the notebook of each; what it tells is noted here.
note_errors_of_kernel <- function() {
  executors <- Filter(function(one) inherits(one, "Executor"), lapply(sys.frames(), function(frame) get0(".self", frame)))
  if (!length(executors) || !is.null(attr(executors[[1]]$send_response, "rsql"))) return(invisible())
  send <- executors[[1]]$send_response
  noting <- function(kind, request, channel, content, ...) {
    if (identical(kind, "error")) state$error <- content$evalue
    send(kind, request, channel, content, ...)
  }
  executors[[1]]$send_response <- structure(noting, rsql = TRUE)
}
tryCatch(note_errors_of_kernel(), error = function(e) NULL) # a later IRkernel may be built otherwise

# Context and question as they may leave.
described <- function(question, level, with, error) {
  session <- if (has_command()) reader()
  if (is.null(session)) return(list(context = names_only(), question = masked(question)))
  found <- session$survey(1, 500)
  names <- vapply(strsplit(found[-1], "\x1f", fixed = TRUE), `[`, "", 1L)
  names <- intersect(names, ls(globalenv()))
  looked <- names[!vapply(names, function(name) nzchar(session$unread(name)), NA)]
  values <- level != "names"
  places <- vapply(looked, function(name) {
    x <- get(name, envir = globalenv())
    columns <- if (!values || !(is.data.frame(x) || session$is_column(x))) 0L else if (is.data.frame(x)) min(25L, length(x)) else 1L
    paste(seq_len(columns), collapse = ",")
  }, "")
  details <- session$details(looked, unname(places), 2, values, if (level == "sample") 5L else 0L)
  by_command("describe", dictionary = getOption("rsql.dictionary"),
    question = question, level = level, with = I(as.character(with)), survey = I(found), details = I(details),
    error = error
  )
}

# As the reader's, which can tell a promise that was kept from one that waits.
unread <- function(name) {
  if (bindingIsActive(as.name(name), globalenv())) return("R active binding, not read")
  alone <- new.env(hash = FALSE, parent = emptyenv())
  .Internal(importIntoEnv(alone, name, globalenv(), name))
  listing <- utils::capture.output(.Internal(inspect(alone, 3L, 0L)))
  if (any(grepl("^\\s*@[0-9a-f]+ 05 PROMSXP", listing, useBytes = TRUE))) "R promise, not read" else ""
}

names_only <- function() {
  session <- reader()
  said <- vapply(ls(globalenv()), function(name) {
    why <- if (is.null(session)) unread(name) else session$unread(name)
    if (nzchar(why)) return(paste0(name, ": ", why))
    x <- get(name, envir = globalenv())
    if (!is.data.frame(x)) return(paste0(name, ": R ", class(x)[1]))
    columns <- paste0("\n- ", names(x), " ", vapply(x, function(column) class(column)[1], ""), collapse = "")
    paste0(name, ": R data.frame, ", length(x), " columns", columns)
  }, "")
  if (!length(said)) "" else fence("r", "session", paste(utils::head(said, 30L), collapse = "\n"))
}

# A fence that its content cannot close: its id is a hash of the content.
fence <- function(kind, name, text) {
  id <- substr(as.character(openssl::sha256(paste0(kind, name, text))), 1L, 8L)
  sprintf("<data kind=\"%s\" name=\"%s\" id=\"%s\">\n%s\n</data %s>", kind, name, id, text, id)
}

# Without the command's filter: what is most surely a secret or a person.
masked <- function(text) {
  text <- gsub("[[:alnum:]._%+-]+@[[:alnum:].-]+\\.[[:alpha:]]{2,}", "[email]", text)
  text <- gsub("\\b(sk|gsk|hf|ghp|xox[a-z])[-_][[:alnum:]_-]{8,}", "[key]", text, perl = TRUE)
  gsub("(?i)(password|passwd|token|api[_-]?key|secret)(\\s*[=:]\\s*)\\S+", "\\1\\2[secret]", text, perl = TRUE)
}
