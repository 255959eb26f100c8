# What of an R session a cell that is tried is given, and, where it is tried, what it is given and what it would do.
#
# All names here are those of base R, whatever the session defines. Where the session is (`names_of`, `written`) no code
# of its own runs: nothing is computed that was not, and nothing is asked of objects but what they are made of.

US <- "\x1f"
DEEPEST <- 50L
MOST_PARTS <- 200000L
CONNECTS <- c("DBIObject", "connection", "src_sql", "tbl_sql", "tbl_lazy", "spark_connection")

record <- function(kind, ...) enc2utf8(paste(kind, ..., sep = US))

# ---- in the session ----

# Of objects, without those that a function stands for.
names_of <- function() Filter(function(name) !bindingIsActive(as.name(name), globalenv()), ls(globalenv(), all.names = TRUE))

# Symbols and texts of code; a text may be the name of an object (`get("x")`), or of a file.
read_in <- function(code) {
  found <- new.env()
  walk <- function(part) {
    if (is.symbol(part)) found[[paste0("s", as.character(part))]] <- TRUE
    else if (is.character(part)) for (text in part[!is.na(part)]) found[[paste0("t", substr(text, 1L, 1000L))]] <- TRUE
    else if (is.recursive(part) && !is.environment(part) && !is.function(part)) {
      part <- as.list(part)
      for (i in seq_along(part)) if (!identical(part[[i]], quote(expr = ))) walk(part[[i]])
    }
  }
  walk(code)
  ls(found, all.names = TRUE, sorted = FALSE)
}

# Why an object cannot go to another process; empty where it can, by what it is made of.
hindrance <- function(x) {
  left <- MOST_PARTS
  walk <- function(x, depth) {
    left <<- left - 1L
    if (left < 0L || depth > DEEPEST) return("it is nested too deeply")
    kind <- typeof(x)
    if (kind %in% c("externalptr", "weakref")) return("it holds memory of this process")
    if (any(oldClass(x) %in% CONNECTS)) return("it is a connection")
    if (kind == "environment") {
      is_known <- isNamespace(x) || identical(x, globalenv()) || identical(x, baseenv()) || identical(x, emptyenv())
      return(if (is_known) "" else "it holds an environment of its own")
    }
    if (kind == "closure") {
      if (nzchar(why <- walk(environment(x), depth + 1L))) return(why)
      return(walk(list(formals(x), body(x)), depth + 1L))
    }
    parts <- attributes(x)
    parts <- parts[!names(parts) %in% c(".internal.selfref", "srcref", "srcfile", "wholeSrcref")]
    if (kind %in% c("list", "expression", "language", "pairlist")) parts <- c(parts_of(x, kind), parts)
    for (i in seq_along(parts)) {
      if (!identical(parts[[i]], quote(expr = )) && nzchar(why <- walk(parts[[i]], depth + 1L))) return(why)
    }
    ""
  }
  walk(x, 0L)
}

# The parts of a list but those that are plain, of which there may be many.
parts_of <- function(x, kind) {
  attributes(x) <- NULL
  if (kind == "list") x[!vapply(x, function(part) is.atomic(part) && is.null(attributes(part)), NA)] else as.list(x)
}

said_of <- function(x, why) {
  kind <- paste(class(x), collapse = "/")
  if (inherits(x, CONNECTS)) return(paste0("a ", kind, " is a connection, and a trial has none"))
  paste0("a ", kind, " cannot be carried over: ", why)
}

# What code reads of the workspace, and all functions that can go along, as methods are found by name. `late` are the
# names of what is computed only when it is read. Returns records: p a package that is attached, m what is missing, t a
# text, l a folder of packages.
written <- function(code, late, path, most) {
  said <- character()
  values <- list()
  seen <- character()
  here <- globalenv()
  read <- read_in(parse(text = code, keep.source = FALSE))
  asked <- substring(read, 2L)
  is_function <- function(name) {
    !name %in% late && !bindingIsActive(as.name(name), here) && typeof(get(name, envir = here, inherits = FALSE)) == "closure"
  }
  own <- Filter(is_function, ls(here, all.names = TRUE))
  waiting <- c(asked, own, if (".Random.seed" %in% ls(here, all.names = TRUE)) ".Random.seed")
  while (length(waiting)) {
    name <- waiting[[1L]]
    waiting <- waiting[-1L]
    if (name %in% seen || !nzchar(name) || !exists(name, envir = here, inherits = FALSE)) next
    seen <- c(seen, name)
    # What `data()` put there is computed late, and the package has it as well.
    if (name %in% late && exists(name, envir = parent.env(here)) && !exists(name, envir = parent.env(here), mode = "function")) next
    if (name %in% late || bindingIsActive(as.name(name), here)) {
      said <- c(said, record("m", name, "it is computed only when it is read"))
      next
    }
    x <- get(name, envir = here, inherits = FALSE)
    why <- hindrance(x)
    size <- if (nzchar(why)) 0 else as.double(utils::object.size(x))
    if (nzchar(why) || size > most) {
      if (name %in% asked) said <- c(said, record("m", name, if (nzchar(why)) said_of(x, why) else "it is too large"))
      next
    }
    most <- most - size
    values[[name]] <- list(x)
    if (typeof(x) == "closure") {
      asked <- c(asked, more <- substring(read_in(list(formals(x), body(x))), 2L))
      waiting <- c(waiting, more)
    } else if (is.character(x) && length(x) == 1L && !is.na(x)) {
      said <- c(said, record("t", x))
    }
  }
  if (any(grepl("^[.]__[CT]__", ls(here, all.names = TRUE)))) {
    said <- c(said, record("m", "classes and generics of S4", "those that the session made cannot be carried over"))
  }
  attached <- search()
  is_package <- startsWith(attached, "package:")
  others <- attached[!is_package & !attached %in% c(".GlobalEnv", "Autoloads", "tools:rstudio", "tools:rpy2")]
  plain <- Filter(function(option) is.atomic(option) && length(option) %in% 1:4 && is.null(attributes(option)), options())
  saveRDS(list(values = values, options = plain), path, compress = FALSE)
  enc2utf8(c(
    said,
    vapply(others, function(name) record("m", name, "attach() put it there, and it is not attached in a trial"), ""),
    vapply(substring(attached[is_package], 9L), function(name) record("p", name), ""),
    vapply(.libPaths(), function(path) record("l", path), ""),
    vapply(substring(read[startsWith(read, "t")], 2L), function(text) record("t", text), "")
  ))
}

# ---- where it is tried ----

# Load and attach what the session has, so that each trial has it at once. The folder of the process goes, as each trial
# has its own.
prepare <- function(packages, libraries) {
  .libPaths(libraries)
  attach_as(packages)
  watch_all()
  unlink(tempdir(), recursive = TRUE)
  character()
}

packages_attached <- function() {
  found <- search()
  substring(found[startsWith(found, "package:")], 9L)
}

# Have the search path of the session; what of it cannot be had.
attach_as <- function(packages) {
  if (identical(packages_attached(), packages)) return(character())
  for (package in setdiff(packages_attached(), "base")) detach(paste0("package:", package), character.only = TRUE, force = TRUE)
  is_there <- function(package) {
    suppressPackageStartupMessages(suppressWarnings(require(package, character.only = TRUE, quietly = TRUE)))
  }
  Filter(Negate(is_there), rev(packages))
}

begin <- function(path, packages, missing, why) {
  tempdir(check = TRUE)
  gone <- attach_as(packages)
  given <- if (file.size(path) > 0) readRDS(path)
  unlink(path)
  options(given$options)
  for (name in names(given$values)) assign(name, given$values[[name]][[1L]], envir = globalenv())
  for (i in seq_along(missing)) stand_in(missing[[i]], why[[i]])
  noted$lines <- character()
  noted$is_late <- FALSE
  vapply(gone, function(package) record("m", package, "this package cannot be loaded there"), "")
}

# In place of what could not be carried over; using it says so.
stand_in <- function(name, why) {
  force(name)
  said <- paste0(name, " is not there in a trial: ", why)
  refuse <- function(value) {
    if (missing(value)) stop(said, call. = FALSE)
    rm(list = name, envir = globalenv())
    assign(name, value, envir = globalenv())
  }
  makeActiveBinding(as.name(name), refuse, globalenv())
}

noted <- new.env()
note <- function(kind, what) {
  what <- as.character(unlist(what))
  what <- what[!is.na(what) & nzchar(what) & !(kind == "file" & startsWith(what, tempdir()))]
  if (length(noted$lines) < 500L) noted$lines <- c(noted$lines, record(rep(kind, length(what)), substr(what, 1L, 200L)))
}
is_late <- function() noted$is_late <- TRUE
opens <- function(what, how) {
  if (grepl("^(https?|ftps?)://", what)) note("address", what)
  else if (grepl("[wa+]", how)) note("file", what)
}
wanted <- function() {
  if (noted$is_late) gc()  # what a cell left to be done once its objects are collected
  enc2utf8(unique(noted$lines))
}

# What R's own functions are asked for beyond this process. It is for the report: the walls do not need it.
watch_all <- function() {
  program <- function(what) call("note", "program", what)
  address <- function(what) call("note", "address", what)
  changes <- function(what) call("note", "file", what)
  connection <- quote(opens(description, open))
  watched <- list(
    base = list(
      system = program(quote(command)), system2 = program(quote(paste(c(command, args), collapse = " "))),
      pipe = program(quote(description)), url = address(quote(description)),
      socketConnection = address(quote(paste(host, port, sep = ":"))), file = connection, gzfile = connection,
      bzfile = connection, xzfile = connection, unlink = changes(quote(x)), file.remove = changes(quote(c(...))),
      file.rename = changes(quote(c(from, to))), file.copy = changes(quote(to)), file.create = changes(quote(c(...))),
      file.append = changes(quote(file1)), file.symlink = changes(quote(to)), file.link = changes(quote(to)),
      dir.create = changes(quote(path)), Sys.chmod = changes(quote(paths)), Sys.setFileTime = changes(quote(path)),
      nsl = address(quote(hostname)), reg.finalizer = quote(is_late())
    ),
    utils = list(download.file = address(quote(url)), browseURL = address(quote(url)), nsl = address(quote(hostname))),
    parallel = list(mcfork = program("a copy of this process")),
    curl = list(
      curl = address(quote(url)), curl_fetch_memory = address(quote(url)), curl_fetch_disk = address(quote(url)),
      curl_fetch_stream = address(quote(url)), curl_download = address(quote(url)), nslookup = address(quote(host))
    )
  )
  for (package in names(watched)) {
    put <- function(...) for (name in names(watched[[package]])) watch(package, name, watched[[package]][[name]])
    if (isNamespaceLoaded(package)) put() else setHook(packageEvent(package, "onLoad"), put)
  }
}

watch <- function(package, name, look) {
  home <- asNamespace(package)
  if (!exists(name, envir = home, inherits = FALSE)) return()
  f <- get(name, envir = home)
  if (typeof(f) != "closure") return()
  look[[1L]] <- get(as.character(look[[1L]]))
  body(f) <- call("{", call("try", look, silent = TRUE), body(f))
  places <- list(home, if (package != "base" && paste0("package:", package) %in% search()) as.environment(paste0("package:", package)))
  for (place in Filter(is.environment, places)) {
    if (!exists(name, envir = place, inherits = FALSE)) next
    locked <- bindingIsLocked(name, place)
    if (locked) unlockBinding(name, place)
    assign(name, f, envir = place)
    if (locked) lockBinding(name, place)
  }
}
