<?php
// Prints the path and the identity that a PHP application receives.
//   php -S 127.0.0.1:9000 app.php

echo 'path: ', rawurldecode(explode('?', $_SERVER['REQUEST_URI'])[0]), "\n";
foreach (['SUBJECT', 'TOKEN_ID', 'SCOPES', 'HANDLER', 'EXPIRES'] as $name) {
    echo $name, ': ', $_SERVER["HTTP_X_AUTH_$name"] ?? '', "\n";
}
