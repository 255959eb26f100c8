# The `rsql` command: where it is, and how R runs it on text.

program <- function(name) {
  chosen <- getOption("rsql.command", Sys.getenv("RSQL_COMMAND"))
  folders <- c(
    if (nzchar(chosen)) dirname(chosen),
    file.path(home, c("../../../../../bin", "../.venv/bin")) # beside this package's Python, or a checkout's
  )
  found <- c(Filter(file.exists, file.path(folders, name)), Sys.which(name))
  found[nzchar(found)][1]
}

has_command <- function() !is.na(program("rsql"))

# R puts its own folders before all libraries, and a Python started from R may then load another's.
libraries <- function() {
  folders <- strsplit(Sys.getenv("LD_LIBRARY_PATH"), ":", fixed = TRUE)[[1]]
  ours <- !nzchar(folders) | startsWith(folders, R.home()) | grepl("^/(usr/)?lib|/jvm/", folders)
  paste0("LD_LIBRARY_PATH=", shQuote(paste(folders[!ours], collapse = ":")))
}

# Runs `rsql WHAT` on text; gives its output, or fails with its one line.
command <- function(what, input, more = character()) {
  files <- tempfile(c("rsql-in-", "rsql-err-"))
  on.exit(unlink(files))
  writeLines(enc2utf8(input), files[1], useBytes = TRUE)
  output <- suppressWarnings(system2(
    program("rsql"), what, stdin = files[1], stdout = TRUE, stderr = files[2],
    env = c("PYTHONUTF8=1", "PYTHONWARNINGS=ignore", more, libraries())
  ))
  if (!is.null(attr(output, "status"))) {
    why <- utils::tail(readLines(files[2], warn = FALSE, encoding = "UTF-8"), 1)
    fail(if (length(why)) why else paste("rsql", what[1], "failed."))
  }
  output <- paste(output, collapse = "\n")
  Encoding(output) <- "UTF-8"
  output
}

to_json <- function(value) enc2utf8(as.character(jsonlite::toJSON(value, auto_unbox = TRUE, null = "null")))
from_json <- function(text) jsonlite::fromJSON(text, simplifyVector = FALSE)
by_command <- function(what, ...) from_json(command(what, to_json(list(...))))
