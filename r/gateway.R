# The gateway: where it is, or one of our own, and one answer as it comes.

gateway <- function() {
  if (is.null(state$gateway)) state$gateway <- find_gateway()
  state$gateway
}

find_gateway <- function() {
  env <- function(name) Sys.getenv(name)
  if (nzchar(env("RSQL_GATEWAY_URL"))) {
    on_hub <- grepl("/services/", env("RSQL_GATEWAY_URL"), fixed = TRUE)
    tokens <- c(env("RSQL_GATEWAY_TOKEN"), if (on_hub) env("JUPYTERHUB_API_TOKEN"), "")
    return(address(env("RSQL_GATEWAY_URL"), tokens[nzchar(tokens)][1]))
  }
  hub <- sub("/hub/?$", "", env("JUPYTERHUB_PUBLIC_HUB_URL"))
  offers <- list(
    if (nzchar(hub)) address(paste0(hub, "/services/rsql/"), env("JUPYTERHUB_API_TOKEN")),
    if (nzchar(env("RSQL_SERVER_URL"))) address(env("RSQL_SERVER_URL"), env("RSQL_SERVER_TOKEN"))
  )
  for (offer in Filter(Negate(is.null), offers)) if (answers(offer)) return(offer)
  start_gateway()
}

address <- function(url, token) list(url = paste0(sub("/+$", "", url), "/"), token = if (is.na(token)) "" else token)

# A gateway of our own, as a notebook has one: it ends when this pipe closes, with R.
start_gateway <- function() {
  starter <- program("jupyter-rsql")
  if (is.na(starter)) {
    fail("There is no gateway. Set RSQL_GATEWAY_URL and RSQL_GATEWAY_TOKEN, or install rsql (pip install rsql-jupyter).")
  }
  log <- tempfile("rsql-gateway-")
  token <- paste(openssl::rand_bytes(24), collapse = "")
  before <- Sys.getenv("JUPYTER_TOKEN", NA)
  Sys.setenv(JUPYTER_TOKEN = token)
  on.exit(if (is.na(before)) Sys.unsetenv("JUPYTER_TOKEN") else Sys.setenv(JUPYTER_TOKEN = before))
  line <- sprintf("exec env %s %s --embedded --parent-pid=%d > %s 2>&1", libraries(), shQuote(starter), Sys.getpid(), shQuote(log))
  state$pipe <- pipe(line, "w")
  end <- proc.time()[["elapsed"]] + 20
  said <- character()
  while (proc.time()[["elapsed"]] < end && !any(grepl("Error", said))) {
    said <- if (file.exists(log)) readLines(log, warn = FALSE) else character()
    ready <- grep("ready at http", said, value = TRUE)
    if (length(ready)) return(address(sub(".*ready at ", "", ready[1]), token))
    Sys.sleep(0.05)
  }
  fail("The gateway did not start: ", paste(utils::tail(said, 1), collapse = ""))
}

http <- function(gateway, path, seconds = 10) {
  asked <- httr2::req_timeout(httr2::request(paste0(gateway$url, path)), seconds)
  if (nzchar(gateway$token)) asked <- httr2::req_auth_bearer_token(asked, gateway$token)
  if (is_local(gateway$url)) asked <- httr2::req_options(asked, noproxy = "*")
  httr2::req_error(asked, is_error = function(reply) FALSE)
}

is_local <- function(url) grepl("^https?://(127\\.0\\.0\\.1|localhost|\\[::1\\])[:/]", url)

answers <- function(gateway) {
  tryCatch(
    {
      reply <- httr2::req_perform(http(gateway, "health", 3))
      httr2::resp_status(reply) < 400 || httr2::resp_header_exists(reply, "x-request-id")
    },
    error = function(e) FALSE
  )
}

told_by <- function(path) {
  at <- gateway()
  reply <- tryCatch(httr2::req_perform(http(at, path)), error = function(e) unreachable(at))
  if (httr2::resp_status(reply) >= 400) refused(httr2::resp_status(reply), httr2::resp_body_string(reply))
  httr2::resp_body_json(reply)
}

unreachable <- function(at) {
  state$gateway <- NULL
  fail("No gateway answers at ", at$url, ". Look with: rsql doctor")
}

refused <- function(status, body) {
  error <- tryCatch(from_json(body)$error, error = function(e) NULL)
  message <- if (is.list(error)) error$message else paste0("The gateway failed (HTTP ", status, ").")
  again <- if (is.list(error)) error$retry_after
  fail(message, if (!is.null(again)) sprintf(" Try again in %.0f s.", ceiling(again)))
}

# Sends messages; `show` gets each piece of the answer. curl is what httr2 stands on.
stream <- function(messages, model, task, show) {
  at <- gateway()
  reply <- new.env(parent = emptyenv())
  reply$rest <- raw()
  reply$body <- raw()
  reply$text <- ""
  body <- list(messages = messages, stream = TRUE, stream_options = list(include_usage = TRUE))
  if (length(model)) body$model <- model
  handle <- curl::new_handle()
  curl::handle_setopt(handle, copypostfields = to_json(body), connecttimeout = 10L)
  if (is_local(at$url)) curl::handle_setopt(handle, noproxy = "*")
  curl::handle_setheaders(handle,
    "Content-Type" = "application/json", "Authorization" = paste("Bearer", at$token), "X-RSQL-Task" = task,
    "User-Agent" = "rsql-r"
  )
  url <- paste0(at$url, "v1/chat/completions")
  done <- tryCatch(
    curl::curl_fetch_stream(url, function(piece) take(reply, piece, show), handle = handle),
    error = function(e) if (inherits(e, "rsql_error")) stop(e) else unreachable(at)
  )
  if (done$status_code >= 400) refused(done$status_code, rawToChar(reply$body))
  if (is.null(reply$done)) fail("The answer was cut off. Ask again.")
  reply
}

take <- function(reply, piece, show) {
  reply$body <- c(utils::head(reply$body, 65536L), piece)
  reply$rest <- c(reply$rest, piece)
  ends <- which(reply$rest == as.raw(10L))
  if (!length(ends)) return(invisible())
  last <- ends[length(ends)]
  lines <- strsplit(rawToChar(reply$rest[seq_len(last)]), "\r?\n")[[1]]
  reply$rest <- reply$rest[-seq_len(last)]
  for (line in lines) read_event(reply, line, show)
}

read_event <- function(reply, line, show) {
  Encoding(line) <- "UTF-8"
  if (startsWith(line, ": queued")) return(show(line, waiting = TRUE))
  if (!startsWith(line, "data:")) return(invisible())
  data <- trimws(substring(line, 6L))
  if (data == "[DONE]") {
    reply$done <- TRUE
    return(invisible())
  }
  chunk <- from_json(data)
  if (!is.null(chunk$error)) stop(structure(class = c("rsql_error", "error", "condition"), list(message = chunk$error$message, call = NULL)))
  for (name in c("usage", "model", "rsql")) if (!is.null(chunk[[name]])) reply[[name]] <- chunk[[name]]
  piece <- if (length(chunk$choices)) chunk$choices[[1]]$delta$content
  if (length(piece) && nzchar(piece)) {
    reply$text <- paste0(reply$text, piece)
    show(piece, waiting = FALSE)
  }
}

printed <- function(piece, waiting) {
  if (waiting) return(invisible())
  cat(piece)
  utils::flush.console()
}
silent <- function(piece, waiting) invisible()

usage_line <- function(reply, seconds) {
  parts <- c(
    reply$model,
    if (!is.null(reply$usage)) {
      sprintf("%s + %s tokens", with_commas(reply$usage$prompt_tokens), with_commas(reply$usage$completion_tokens))
    },
    sprintf("%.1f s", seconds)
  )
  paste(parts, collapse = " \u00b7 ")
}
with_commas <- function(number) format(number, big.mark = ",", trim = TRUE)

rsql_status <- function() {
  need("httr2", "jsonlite")
  status <- told_by("status")
  stats <- told_by("stats")
  cat("gateway  ", gateway()$url, "\n", sep = "")
  cat("you      ", stats$caller, if (nzchar(stats$tenant %||% "")) paste(" in", stats$tenant), "\n", sep = "")
  keys <- Filter(function(count) count > 0, status$keys)
  cat("keys     ", if (length(keys)) paste(unlist(keys), names(keys), collapse = ", ") else "none", "\n", sep = "")
  cat("models   ", paste(unlist(status$models), collapse = ", "), "\n", sep = "")
  invisible(list(status = status, stats = stats))
}
