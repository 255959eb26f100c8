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
    # The server's own token only asks; a key that its person made for its kernels may do more.
    if (nzchar(env("RSQL_SERVER_URL"))) {
      own <- if (nzchar(env("RSQL_GATEWAY_TOKEN"))) env("RSQL_GATEWAY_TOKEN") else env("RSQL_SERVER_TOKEN")
      address(env("RSQL_SERVER_URL"), own)
    }
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
  output <- character()
  while (proc.time()[["elapsed"]] < end && !any(grepl("Error", output))) {
    output <- if (file.exists(log)) readLines(log, warn = FALSE) else character()
    ready <- grep("ready at http", output, value = TRUE)
    if (length(ready)) return(address(sub(".*ready at ", "", ready[1]), token))
    Sys.sleep(0.05)
  }
  fail("The gateway did not start: ", paste(utils::tail(output, 1), collapse = ""))
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

# What is at a path; `otherwise` where there is nothing for us, as at an endpoint that is no gateway.
report_at <- function(path, otherwise = NULL) {
  at <- gateway()
  reply <- tryCatch(httr2::req_perform(http(at, path)), error = function(e) unreachable(at))
  if (httr2::resp_status(reply) %in% 400:499 && !is.null(otherwise)) return(otherwise)
  if (httr2::resp_status(reply) >= 400) refused(httr2::resp_status(reply), httr2::resp_body_string(reply))
  httr2::resp_body_json(reply)
}

unreachable <- function(at) {
  state$gateway <- NULL
  fail("No gateway answers at ", at$url, ". Look with: rsql doctor")
}

refused <- function(status, body) {
  error <- record_of(record_of(tryCatch(from_json(body), error = function(e) NULL))$error)
  message <- words_of(error$message)
  again <- number_of(error$retry_after)
  fail(
    if (nzchar(message)) message else paste0("The gateway failed (HTTP ", status, ")."),
    if (length(again)) sprintf(" Try again in %.0f s.", ceiling(again))
  )
}

# What endpoints send in place of what the protocol has: anything that is not understood counts as absent.
record_of <- function(value) if (is.list(value) && !is.null(names(value))) value else list()
first_of <- function(value) record_of(if (is.list(value) && is.null(names(value)) && length(value)) value[[1]])
words_of <- function(value) if (is.character(value) && length(value) == 1L && !is.na(value)) value else ""
number_of <- function(value) if (is.numeric(value) && length(value) == 1L && is.finite(value)) value

# The text of a message or of a piece of one, also in parts; a refusal where that is all.
content_of <- function(message) {
  content <- message$content
  if (is.list(content) && is.null(names(content))) {
    parts <- vapply(content, function(part) if (is.character(part)) words_of(part) else words_of(record_of(part)$text), "")
    content <- paste(parts, collapse = "")
  }
  if (nzchar(words_of(content))) words_of(content) else words_of(message$refusal)
}

# Sends messages; `show` gets each piece of the answer. curl is what httr2 stands on. `values` are what the messages
# state; they are sent only where the gateway says that its own fixed rules answer.
stream <- function(messages, model, task, show, values = NULL) {
  at <- gateway()
  reply <- new.env(parent = emptyenv())
  reply$rest <- raw()
  reply$body <- raw()
  reply$text <- reply$held <- ""
  # The likeliest answer, and the same one each time; a model that refuses a parameter is asked without it from then on.
  known <- if (length(model)) model else "default"
  spare <- list(temperature = 0, seed = 1L, stream_options = list(include_usage = TRUE))
  spare <- spare[setdiff(names(spare), state$without[[known]])]
  if ("system" %in% state$without[[known]]) messages <- without_system(messages)
  body <- c(list(messages = messages, stream = TRUE), spare)
  if (length(model)) body$model <- model
  if (length(values) && answered_offline(model)) body$rsql <- values
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
  if (done$status_code >= 400) {
    error <- record_of(record_of(tryCatch(from_json(text_of(reply$body)), error = function(e) NULL))$error)
    named <- refused_parts(done$status_code, words_of(error$message), messages, names(spare))
    if (!length(named)) refused(done$status_code, text_of(reply$body))
    state$without[[known]] <- c(state$without[[known]], named)
    return(stream(messages, model, task, show, values))
  }
  if (!grepl("event-stream", done$type %||% "", fixed = TRUE)) read_whole(reply, text_of(reply$body), show)
  if (is.null(reply$done)) fail("The answer was cut off. Ask again.")
  if (!grepl("[[:alnum:]]", spoken(reply$text))) fail(silence(reply))
  if (nzchar(early <- ended_early(reply$reason))) warning(early, call. = FALSE)
  reply
}

# What a refusal names that an answer can do without: parameters, or the role of the system, which some templates lack
# and some servers fail at.
refused_parts <- function(status, message, messages, spare) {
  named <- if (status %in% c(400L, 422L)) Filter(function(name) grepl(name, message, fixed = TRUE), spare)
  has_system <- any(vapply(messages, function(each) identical(each$role, "system"), NA))
  no_system <- paste0(
    "(?is)\\b(system|developer)\\W+(role|message|prompt|instruction)s?\\b.{0,40}\\bnot\\W+(supported|allowed|enabled|permitted)",
    "|\\bnot support\\w*\\W.{0,30}\\b(system|developer)\\b|roles? .{0,5}\\b(system|developer)\\b.{0,30}\\bnot\\b",
    "|only user and assistant roles|roles must alternate|should be 'user' or 'assistant'"
  )
  if (length(named) || !has_system || !(status %in% c(400L, 404L, 422L, 500L, 501L))) return(named)
  if (grepl(no_system, message, perl = TRUE)) "system"
}

# Messages whose first one of the user begins with what the system's say.
without_system <- function(messages) {
  of_system <- vapply(messages, function(each) identical(each$role, "system"), NA)
  rules <- vapply(messages[of_system], function(each) each$content, "")
  others <- messages[!of_system]
  first <- which(vapply(others, function(each) identical(each$role, "user"), NA))
  if (!length(first)) return(c(list(list(role = "user", content = paste(rules, collapse = "\n\n"))), others))
  others[[first[1]]]$content <- paste(c(rules, others[[first[1]]]$content), collapse = "\n\n")
  others
}

answered_offline <- function(model) {
  announced <- tryCatch(policy()$offline_models, error = function(e) NULL) # not every endpoint tells
  (if (length(model)) model else "default") %in% unlist(announced)
}

# Bytes as text: a NUL, which R cannot hold, and what is no UTF-8 are left out.
text_of <- function(bytes) iconv(rawToChar(bytes[bytes != as.raw(0L)]), "UTF-8", "UTF-8", sub = "")

# An answer without the thinking that some models write before it.
spoken <- function(text) {
  marks <- "(think|thinking|thought|reasoning)>"
  if (grepl(paste0("^\\s*<", marks), text, perl = TRUE)) {
    return(sub(paste0("(?s)^.*?(</", marks, "\\s*|\\z)"), "", text, perl = TRUE))
  }
  # Templates that open the thoughts in the prompt leave only their end: at the end of a line, where no sentence names it.
  if (grepl(paste0("<", marks), text, perl = TRUE)) return(text)
  sub(paste0("(?s)^.*</", marks, "[ \\t]*(\\n\\s*|\\z)"), "", text, perl = TRUE)
}

# Why an answer may not be whole, by its finish reason in the words of any provider; empty where it is.
ended_early <- function(reason) {
  word <- tolower(if (length(reason)) reason else "")
  whole <- c("", "stop", "end_turn", "stop_sequence", "eos", "eos_token", "end", "complete", "completed", "tool_calls")
  if (word %in% whole) return("")
  if (word %in% c("length", "max_tokens", "max_length", "max_output_tokens", "model_length", "token_limit", "limit")) {
    return("The model reached the longest answer that it may give.")
  }
  if (word %in% c("content_filter", "content_filtered", "refusal", "safety", "recitation", "prohibited_content",
                  "blocklist", "spii", "guardrail_intervened", "error_toxic")) {
    return("The provider's filter ended the answer.")
  }
  paste0("The provider ended the answer with \"", substr(printable(reason), 1L, 40L), "\".")
}

# Why there is no text.
silence <- function(reply) {
  if (identical(reply$reason, "tool_calls")) return("The model asked for a tool instead of answering, and there is none.")
  if (identical(reply$reason, "content_filter")) return("The provider's filter kept the answer back.")
  if (grepl("<think>", reply$text, fixed = TRUE) || identical(reply$reason, "length")) {
    return("The model thought, and ended before it answered.")
  }
  "The model answered with nothing."
}

take <- function(reply, piece, show) {
  reply$body <- c(utils::head(reply$body, 65536L), piece)
  reply$rest <- c(reply$rest, piece)
  ends <- which(reply$rest == as.raw(10L))
  if (!length(ends)) return(invisible())
  last <- ends[length(ends)]
  lines <- strsplit(text_of(reply$rest[seq_len(last)]), "\r?\n")[[1]]
  reply$rest <- reply$rest[-seq_len(last)]
  for (line in lines) read_event(reply, line, show)
}

# An endpoint that answers a request for a stream in one piece.
read_whole <- function(reply, body, show) {
  choice <- first_of(record_of(tryCatch(from_json(body), error = function(e) NULL))$choices)
  if (is.null(choice$message)) fail("This is no gateway: what it sent is no completion. Look with: rsql doctor")
  read_chunk(reply, record_of(from_json(body)), content_of(record_of(choice$message)), show)
  reply$done <- TRUE
}

read_event <- function(reply, line, show) {
  if (startsWith(line, ": queued")) return(show(line, waiting = TRUE))
  if (isTRUE(reply$done)) return(invisible()) # what follows the end, nobody asked for
  held <- length(reply$data) > 0L
  if (held && !nzchar(trimws(line))) cut_off() # the event has ended, and is no JSON
  if (!startsWith(line, "data:")) return(invisible())
  data <- trimws(substring(line, 6L))
  if (data == "[DONE]" && !held) {
    reply$done <- TRUE
    return(invisible())
  }
  # An event's data may stand in several lines.
  reply$data <- c(reply$data, data)
  chunk <- tryCatch(from_json(paste(reply$data, collapse = "\n")), error = function(e) e)
  if (inherits(chunk, "error")) return(invisible())
  reply$data <- NULL
  chunk <- record_of(chunk)
  chunk$error <- chunk$error %||% first_of(chunk$choices)$error
  if (is.list(chunk$error) && length(chunk$error)) cut_off(words_of(record_of(chunk$error)$message))
  read_chunk(reply, chunk, content_of(record_of(first_of(chunk$choices)$delta)), show)
}

# An error that passes through curl as it is.
cut_off <- function(why = "") {
  message <- printable(if (nzchar(why)) why else "The answer was cut off. Ask again.")
  stop(structure(class = c("rsql_error", "error", "condition"), list(message = message, call = NULL)))
}

read_chunk <- function(reply, chunk, piece, show) {
  for (name in c("usage", "rsql")) if (length(record_of(chunk[[name]]))) reply[[name]] <- chunk[[name]]
  if (nzchar(words_of(chunk$model))) reply$model <- chunk$model
  reason <- words_of(first_of(chunk$choices)$finish_reason)
  if (nzchar(reason)) reply$reason <- reason
  if (!nzchar(piece)) return(invisible())
  piece <- paste0(reply$held, piece)
  unfinished <- regexpr(unfinished_sequence, piece, perl = TRUE)
  reply$held <- if (unfinished > 0) substring(piece, unfinished) else ""
  piece <- printable(if (unfinished > 0) substring(piece, 1L, unfinished - 1L) else piece)
  reply$text <- paste0(reply$text, piece)
  show(piece, waiting = FALSE)
}

printed <- function(piece, waiting) {
  if (waiting) return(invisible())
  cat(piece)
  utils::flush.console()
}
silent <- function(piece, waiting) invisible()

usage_line <- function(reply, seconds) {
  parts <- c(
    if (length(reply$model)) printable(reply$model),
    if (length(number_of(reply$usage$prompt_tokens)) && length(number_of(reply$usage$completion_tokens))) {
      sprintf("%s + %s tokens", with_commas(reply$usage$prompt_tokens), with_commas(reply$usage$completion_tokens))
    },
    sprintf("%.1f s", seconds)
  )
  paste(parts, collapse = " \u00b7 ")
}
with_commas <- function(number) format(number, big.mark = ",", trim = TRUE)

rsql_status <- function() {
  need("httr2", "jsonlite")
  status <- report_at("status")
  stats <- report_at("stats")
  cat("gateway  ", gateway()$url, "\n", sep = "")
  cat("you      ", stats$caller, if (nzchar(stats$tenant %||% "")) paste(" in", stats$tenant), "\n", sep = "")
  keys <- Filter(function(count) count > 0, status$keys)
  cat("keys     ", if (length(keys)) paste(unlist(keys), names(keys), collapse = ", ") else "none", "\n", sep = "")
  cat("models   ", paste(unlist(status$models), collapse = ", "), "\n", sep = "")
  invisible(list(status = status, stats = stats))
}
