# The R that `effects_monitor` watches: attaches what cells use, then forks once for each group of cells.
#
# Started under strace as `Rscript monitored.R PLAN RESULTS`. What happens before a cell's marker (an attempt to open a
# file that is not there) is not the cell's. Results go through a connection that was opened before the marker.

arguments <- commandArgs(TRUE)
plan <- jsonlite::read_json(arguments[[1]])
for (package in plan$modules) suppressWarnings(suppressMessages(requireNamespace(package, quietly = TRUE)))

# Plots are drawn nowhere, as in a notebook, where they are no files either, unless a file is named.
options(device = function(file = NULL, ...) grDevices::pdf(file, ...), browser = "true", warn = 1)

shown <- character()
options(jupyter.base_display_func = function(data, metadata = NULL) shown <<- c(shown, names(data)))

mark <- function(id) {
  suppressWarnings(try(file(paste0("/rsql-effects-marker/", id), "r"), silent = TRUE))
  invisible()
}

held_functions <- function() {
  places <- c("base", "stats", "utils", "methods", "graphics", "grDevices", "tools")
  sapply(places, function(place) mget(ls(asNamespace(place), all.names = TRUE), asNamespace(place),
    mode = "function", ifnotfound = list(NULL)), simplify = FALSE)
}

state <- function() {
  options <- options()
  list(
    environment = list(Sys.getenv(names = TRUE), getwd()),
    callbacks = getTaskCallbackNames(),
    programs = options[c("browser", "editor", "pager", "pdfviewer", "device", "error", "repos", "warning.expression")],
    libraries = .libPaths(),
    locale = Sys.getlocale(),
    connections = getAllConnections(),
    sinks = c(sink.number(), sink.number("message")),
    "S4 methods" = length(ls(get(".MTable", environment(methods::getGeneric("show"))), all.names = TRUE))
  )
}

rows <- function(connection) {
  names <- DBI::dbListTables(connection)
  lapply(stats::setNames(names, names), function(name) DBI::dbReadTable(connection, name))
}

given <- list(
  df = function() data.frame(a = c(1, 2, 2), b = c(.5, 1.5, 2.5), c = c("x", "y", "y")),
  con = function() {
    connection <- DBI::dbConnect(RSQLite::SQLite(), ":memory:")
    DBI::dbWriteTable(connection, "t", data.frame(a = 1:2))
    connection
  }
)

evaluate <- function(code, space) {
  # As a notebook does: each value that is visible is shown, by the methods that the cell may have made.
  error <- NULL
  tryCatch(
    {
      for (expression in parse(text = code, keep.source = FALSE)) {
        value <- withVisible(eval(expression, space))
        if (value$visible) {
          if (isS4(value$value)) methods::show(value$value) else print(value$value)
        }
      }
    },
    error = function(e) error <<- conditionMessage(e),
    interrupt = function(e) error <<- "interrupted"
  )
  error
}

run_group <- function(group, results, quiet) {
  setwd(group$folder)
  space <- globalenv()
  for (name in unlist(group$given)) assign(name, given[[name]](), space)
  for (cell in group$cells) {
    shown <<- character()
    connection <- get0("con", space, inherits = FALSE)
    held <- if (is.null(connection)) NULL else rows(connection)
    before <- state()
    functions <- held_functions()
    mark(cell$id)
    error <- suppressWarnings(suppressMessages(evaluate(cell$code, space)))
    after <- state()
    if (!identical(before$connections, after$connections)) {
      suppressWarnings(gc()) # which closes those that nobody holds; it takes half a second, so only here
      after <- state()
    }
    seen <- list()
    for (name in names(before)) {
      if (!identical(before[[name]], after[[name]])) {
        seen <- c(seen, list(list(if (name == "environment") "environment" else "state", name)))
      }
    }
    now <- held_functions()
    for (place in names(functions)) if (!identical(functions[[place]], now[[place]])) {
      changed <- !mapply(identical, functions[[place]], now[[place]][names(functions[[place]])])
      for (name in names(functions[[place]])[changed]) seen <- c(seen, list(list("state", paste0(place, "::", name))))
    }
    if (any(shown %in% c("application/javascript", "text/html"))) seen <- c(seen, list(list("page", shown)))
    if (!is.null(connection) && !identical(tryCatch(rows(connection), error = function(e) NULL), held)) {
      seen <- c(seen, list(list("database", "the session's connection")))
    }
    result <- list(id = cell$id, error = if (is.null(error)) "" else error, seen = seen)
    writeLines(jsonlite::toJSON(result, auto_unbox = TRUE), results)
    flush(results)
    if (sink.number()) sink()
    sink(quiet)
  }
  rm(list = ls(space, all.names = TRUE), envir = space)
  invisible(gc())
}

# Functions that R compiles meanwhile would be other objects after a cell.
invisible(compiler::enableJIT(0))

# Namespaces are read from disk at first use: here, once, and not in each child.
invisible(list(held_functions(), state(), jsonlite::toJSON(list(id = 1, seen = list(list("a", "b"))))))

for (number in seq_along(plan$groups)) {
  group <- plan$groups[[number]]
  # The file is opened here, so that the child has only to write to it.
  results <- file(file.path(arguments[[2]], number - 1), "w")
  quiet <- file("/dev/null", "w")
  child <- parallel::mcparallel(
    {
      sink(quiet)
      setTimeLimit(elapsed = plan$seconds * length(group$cells))
      run_group(group, results, quiet)
      NULL
    },
    silent = TRUE, mc.set.seed = FALSE
  )
  done <- suppressWarnings(parallel::mccollect(child, wait = FALSE, timeout = plan$seconds * length(group$cells) + 1))
  if (is.null(done)) {
    tools::pskill(child$pid, tools::SIGKILL)
    suppressWarnings(parallel::mccollect(child))
  } else {
    suppressWarnings(parallel::mccollect(child, wait = FALSE))
  }
  close(results)
  close(quiet)
}
